/*
 * Voice packets: SRTP with AEAD_AES_256_GCM (RFC 3711, RFC 7714), the key turned on every 3,000 packets (wire.md).
 *
 *     0        1    2     4           8      12                       n - 16        n
 *     +--------+----+-----+-----------+------+------------------------+-------------+
 *     | 80     | 96 | seq | timestamp | ssrc | ciphertext             | tag         |
 *     +--------+----+-----+-----------+------+------------------------+-------------+
 *     | header: V=2, P=X=CC=M=0, AAD         | AES-256-GCM                          |
 *
 *     index  = ROC * 2^16 + seq: 0, 1, 2 .., never restarts
 *     epoch  = index div 3000; its master = HKDF of the master before
 *     master = key 32 | salt 12, in the slot; session key and salt come from it by AES-CM, kdr 0
 *     nonce  = (00 00 | ssrc 4 | index 6) XOR session salt
 *
 * A receiver has the sessions of two epochs at most: the window is shorter than an epoch. A packet takes no memory.
 */
#include "srtp.h"

#include <openssl/evp.h>
#include <string.h>

#include "births.h"
#include "derive.h"
#include "seal.h"
#include "slots.h"
#include "stack.h"

enum {
  VERSION_2 = 0x80,
  PAYLOAD_TYPE = 96,
  SEQUENCES = 65536,
  SESSIONS = 2,
  LABEL_ENCRYPTION = 0,
  LABEL_SALT = 2,
  KDF_LABEL_AT = 7
};

static const uint64_t INDEX_END = (uint64_t)1 << 48;

struct media {
  uint32_t ssrc;
  uint32_t salt_bytes;
  uint32_t info_bytes;
  uint8_t salt[RATCHET_BYTES_MOST];
  uint8_t info[RATCHET_BYTES_MOST];
  uint64_t next;                /* sender: index of the next packet */
  uint64_t epoch;               /* of the master in the slot; receiver: the highest that a good packet has shown */
  int64_t highest;              /* receiver: the highest index opened, -1 before the first */
  int64_t seen[WINDOW_PACKETS]; /* receiver: the index last seen at each place of the window */
  struct session sessions[SESSIONS];   /* of epoch n at n mod 2 */
};

static uint64_t first_index;

void media_start(uint64_t index) {
  first_index = index;
}

/* ---- keys of an epoch ---- */

int srtp_kdf(const uint8_t key[MASTER_KEY_BYTES], const uint8_t salt[KDF_SALT_BYTES], uint8_t label, uint8_t *out,
             size_t length) {
  uint8_t start[16] = {0};
  memcpy(start, salt, KDF_SALT_BYTES);
  start[KDF_LABEL_AT] ^= label;
  memset(out, 0, length);
  EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
  int written;
  int derived = cipher && EVP_EncryptInit_ex2(cipher, EVP_aes_256_ctr(), key, start, NULL) &&
                EVP_EncryptUpdate(cipher, out, &written, out, (int)length);
  EVP_CIPHER_CTX_free(cipher);
  return derived;
}

/* Two zero bytes fill the master salt up to the 14 of the derivation (RFC 7714 11). */
static vault_result begin_session(struct session *session, const uint8_t master[VAULT_STREAM_KEY_BYTES],
                                  uint64_t epoch) {
  uint8_t salt[KDF_SALT_BYTES] = {0};
  memcpy(salt, master + MASTER_KEY_BYTES, MASTER_SALT_BYTES);
  int begun = srtp_kdf(master, salt, LABEL_ENCRYPTION, session->key, MASTER_KEY_BYTES) &&
              srtp_kdf(master, salt, LABEL_SALT, session->salt, MASTER_SALT_BYTES);
  if (!begun) return failed(VAULT_INTERNAL);
  tell_birth(session->key, MASTER_KEY_BYTES);
  session->epoch = epoch;
  session->key_number = seal_next_key();
  return VAULT_OK;
}

static void forget(struct session *session) {
  if (session->key_number == 0) return;
  seal_forget(session->key_number);
  wipe_bytes(session, sizeof *session);
}

static struct session *session_of(struct media *media, uint64_t epoch) {
  struct session *place = &media->sessions[epoch % SESSIONS];
  return place->key_number != 0 && place->epoch == epoch ? place : NULL;
}

/* The master of the epoch after. */
static void turn(const struct media *media, uint8_t master[VAULT_STREAM_KEY_BYTES]) {
  uint8_t next[VAULT_STREAM_KEY_BYTES];
  hkdf(&(vault_bytes){master, VAULT_STREAM_KEY_BYTES}, 1, (vault_bytes){media->salt, media->salt_bytes},
       (vault_bytes){media->info, media->info_bytes}, next, sizeof next);
  memcpy(master, next, sizeof next);
  tell_birth(master, sizeof next);
}

void media_free(struct media *media) {
  if (!media) return;
  for (int at = 0; at < SESSIONS; at++) forget(&media->sessions[at]);
  arena_give(media);
}

/* ---- packets ---- */

static void write_number(uint8_t *at, uint64_t number, int bytes) {
  for (int byte = 0; byte < bytes; byte++) at[bytes - 1 - byte] = (uint8_t)(number >> 8 * byte);
}

static uint32_t read_number(const uint8_t *at, int bytes) {
  uint32_t number = 0;
  for (int byte = 0; byte < bytes; byte++) number = number << 8 | at[byte];
  return number;
}

static void make_nonce(const struct session *session, const uint8_t *header, uint64_t index,
                       uint8_t nonce[GCM_NONCE_BYTES]) {
  memset(nonce, 0, GCM_NONCE_BYTES);
  memcpy(nonce + 2, header + 8, 4);
  write_number(nonce + 6, index, 6);
  for (int at = 0; at < GCM_NONCE_BYTES; at++) nonce[at] ^= session->salt[at];
}

vault_result seal_packet(const struct session *session, const uint8_t header[VAULT_SRTP_HEADER_BYTES], uint64_t index,
                         vault_bytes payload, uint8_t *packet) {
  uint8_t nonce[GCM_NONCE_BYTES];
  make_nonce(session, header, index, nonce);
  vault_bytes aad = {header, VAULT_SRTP_HEADER_BYTES};
  uint8_t *sealed = packet + VAULT_SRTP_HEADER_BYTES;
  vault_result result = gcm_seal(session->key_number, session->key, nonce, aad, payload, sealed);
  if (result == VAULT_OK) memcpy(packet, header, VAULT_SRTP_HEADER_BYTES);
  return result;
}

vault_result open_packet(const struct session *session, const uint8_t header[VAULT_SRTP_HEADER_BYTES], uint64_t index,
                         vault_bytes sealed, uint8_t *payload) {
  uint8_t nonce[GCM_NONCE_BYTES];
  make_nonce(session, header, index, nonce);
  return gcm_open(session->key_number, session->key, nonce, (vault_bytes){header, VAULT_SRTP_HEADER_BYTES}, sealed,
                  payload);
}

int64_t guess_index(uint16_t sequence, int64_t highest) {
  int64_t rollovers = highest / SEQUENCES;
  int64_t last = highest % SEQUENCES, half = SEQUENCES / 2;
  if (last < half && sequence - last > half) rollovers--;
  if (last >= half && last - half > sequence) rollovers++;
  return rollovers * SEQUENCES + sequence;
}

/* ---- slots that voice takes over ---- */

typedef struct begin_call {
  vault_handle slot;
  vault_use use;
  const vault_media_profile *profile;
} begin_call;

static struct media *media_new(const vault_media_profile *profile) {
  struct media *made = arena_take(sizeof(struct media));
  if (!made) return NULL;
  memset(made, 0, sizeof *made);
  made->ssrc = profile->ssrc;
  made->salt_bytes = (uint32_t)profile->ratchet_salt.length;
  made->info_bytes = (uint32_t)profile->ratchet_info.length;
  if (made->salt_bytes > 0) memcpy(made->salt, profile->ratchet_salt.at, made->salt_bytes);
  if (made->info_bytes > 0) memcpy(made->info, profile->ratchet_info.at, made->info_bytes);
  made->next = first_index;
  made->epoch = first_index / EPOCH_PACKETS;
  made->highest = (int64_t)first_index - 1;
  for (int at = 0; at < WINDOW_PACKETS; at++) made->seen[at] = -1;
  return made;
}

static vault_result begin_on_stack(void *argument) {
  begin_call *call = argument;
  struct slot *slot;
  vault_result result = slots_find_secret(call->slot, call->use, 0, &slot);
  if (result != VAULT_OK) return result;
  if (slot->counter > 0) return VAULT_WRONG_USE; /* a key that has sealed by itself is not SRTP's master as well */
  if (slot->secret->length != VAULT_STREAM_KEY_BYTES) return VAULT_WRONG_LENGTH;
  struct media *media = media_new(call->profile);
  if (!media) return VAULT_NO_MEMORY;
  result = begin_session(&media->sessions[media->epoch % SESSIONS], slot->secret->bytes, media->epoch);
  if (result == VAULT_OK) {
    slot->media = media;
  } else {
    media_free(media);
  }
  return result;
}

static vault_result begin(vault_handle slot, vault_use use, const vault_media_profile *profile) {
  if (profile->ratchet_salt.length > RATCHET_BYTES_MOST || profile->ratchet_info.length > RATCHET_BYTES_MOST) {
    return VAULT_WRONG_LENGTH;
  }
  begin_call call = {slot, use, profile};
  return run_small(begin_on_stack, &call);
}

vault_result vault_srtp_sender(vault_handle packet_seal, const vault_media_profile *profile) {
  return begin(packet_seal, VAULT_PACKET_SEAL, profile);
}

vault_result vault_srtp_receiver(vault_handle packet_open, const vault_media_profile *profile) {
  return begin(packet_open, VAULT_PACKET_OPEN, profile);
}

static vault_result find_media(vault_handle handle, vault_use use, struct slot **found) {
  vault_result result = slots_find(handle, KIND_SECRET, found);
  if (result != VAULT_OK) return result;
  return (*found)->use == use && (*found)->media ? VAULT_OK : VAULT_WRONG_USE;
}

/* ---- the sender ---- */

typedef struct seal_call {
  vault_handle slot;
  vault_bytes payload;
  uint32_t timestamp;
  uint8_t *packet;
} seal_call;

/* The epoch's session; the one before is wiped when it begins. NULL: OpenSSL failed, and nothing has moved. */
static struct session *sending_session(struct slot *slot, uint64_t epoch) {
  struct media *media = slot->media;
  struct session *known = session_of(media, epoch);
  if (known) return known;
  uint8_t master[VAULT_STREAM_KEY_BYTES];
  memcpy(master, slot->secret->bytes, sizeof master);
  turn(media, master);
  struct session *place = &media->sessions[epoch % SESSIONS];
  if (begin_session(place, master, epoch) != VAULT_OK) return NULL;
  memcpy(slot->secret->bytes, master, sizeof master);
  media->epoch = epoch;
  forget(&media->sessions[(epoch + 1) % SESSIONS]);
  return place;
}

static vault_result seal_on_stack(void *argument) {
  seal_call *call = argument;
  struct slot *slot;
  vault_result result = find_media(call->slot, VAULT_PACKET_SEAL, &slot);
  if (result != VAULT_OK) return result;
  if (call->payload.length == 0) return VAULT_WRONG_LENGTH;
  struct media *media = slot->media;
  if (media->next >= INDEX_END) return VAULT_EXHAUSTED;
  struct session *session = sending_session(slot, media->next / EPOCH_PACKETS);
  if (!session) return failed(VAULT_INTERNAL);
  uint64_t index = media->next++; /* before sealing: whatever fails below, no nonce comes twice */
  uint8_t header[VAULT_SRTP_HEADER_BYTES] = {VERSION_2, PAYLOAD_TYPE};
  write_number(header + 2, index, 2);
  write_number(header + 4, call->timestamp, 4);
  write_number(header + 8, media->ssrc, 4);
  return seal_packet(session, header, index, call->payload, call->packet);
}

vault_result vault_srtp_seal(vault_handle packet_seal, vault_bytes payload, uint32_t timestamp, uint8_t *packet) {
  seal_call call = {packet_seal, payload, timestamp, packet};
  return run_small(seal_on_stack, &call);
}

/* ---- the receiver: what is refused leaves no trace ---- */

typedef struct open_call {
  vault_handle slot;
  vault_bytes packet;
  vault_refusal *refusal;
  uint64_t *index;
  uint32_t *timestamp;
  uint8_t *payload;
} open_call;

/* Tries the keys of an epoch that has not begun here; only a good tag makes it begin. */
static vault_result open_ahead(struct slot *slot, const uint8_t *header, uint64_t index, vault_bytes sealed,
                               uint8_t *payload) {
  struct media *media = slot->media;
  uint64_t epoch = index / EPOCH_PACKETS;
  uint8_t master[VAULT_STREAM_KEY_BYTES];
  struct session fresh[SESSIONS] = {0}; /* of the epochs passed on the way, n at n mod 2: no more may be needed */
  vault_result result = VAULT_OK;
  memcpy(master, slot->secret->bytes, sizeof master);
  for (uint64_t at = media->epoch + 1; at <= epoch && result == VAULT_OK; at++) {
    turn(media, master);
    result = begin_session(&fresh[at % SESSIONS], master, at);
  }
  if (result == VAULT_OK) result = open_packet(&fresh[epoch % SESSIONS], header, index, sealed, payload);
  if (result != VAULT_OK) {
    for (int at = 0; at < SESSIONS; at++) forget(&fresh[at]);
    return result;
  }
  for (int at = 0; at < SESSIONS; at++) {
    if (fresh[at].key_number == 0) continue;
    forget(&media->sessions[at]);
    media->sessions[at] = fresh[at];
  }
  memcpy(slot->secret->bytes, master, sizeof master);
  media->epoch = epoch;
  return VAULT_OK;
}

static vault_result open_known(struct media *media, const uint8_t *header, uint64_t index, vault_bytes sealed,
                               uint8_t *payload, vault_refusal *refusal) {
  const struct session *session = session_of(media, index / EPOCH_PACKETS);
  if (!session) {
    *refusal = VAULT_PACKET_TOO_OLD;
    return VAULT_OK;
  }
  return open_packet(session, header, index, sealed, payload);
}

static void mark_seen(struct media *media, int64_t index) {
  media->seen[index % WINDOW_PACKETS] = index;
  if (index > media->highest) media->highest = index;
  for (int at = 0; at < SESSIONS; at++) {
    struct session *session = &media->sessions[at];
    int64_t last = (int64_t)(session->epoch + 1) * EPOCH_PACKETS - 1;
    if (last <= media->highest - WINDOW_PACKETS) forget(session); /* its last packet has left the window */
  }
}

static vault_refusal look_at(const struct media *media, vault_bytes packet, uint8_t header[VAULT_SRTP_HEADER_BYTES],
                             int64_t *index) {
  if (packet.length <= VAULT_SRTP_HEADER_BYTES + VAULT_TAG_BYTES) return VAULT_PACKET_MALFORMED;
  memcpy(header, packet.at, VAULT_SRTP_HEADER_BYTES);
  if (header[0] != VERSION_2 || header[1] != PAYLOAD_TYPE || read_number(header + 8, 4) != media->ssrc) {
    return VAULT_PACKET_MALFORMED;
  }
  *index = guess_index((uint16_t)read_number(header + 2, 2), media->highest > 0 ? media->highest : 0);
  if (*index < 0 || *index <= media->highest - WINDOW_PACKETS) return VAULT_PACKET_TOO_OLD;
  if (media->seen[*index % WINDOW_PACKETS] == *index) return VAULT_PACKET_REPLAYED;
  /* Nobody who has the keys seals there, so a look at the tag is not needed. */
  int is_far = (uint64_t)*index >= INDEX_END || (uint64_t)*index / EPOCH_PACKETS > media->epoch + EPOCHS_AHEAD;
  return is_far ? VAULT_PACKET_FORGED : VAULT_PACKET_GOOD;
}

static vault_result open_on_stack(void *argument) {
  open_call *call = argument;
  struct slot *slot;
  vault_result result = find_media(call->slot, VAULT_PACKET_OPEN, &slot);
  if (result != VAULT_OK) return result;
  struct media *media = slot->media;
  uint8_t header[VAULT_SRTP_HEADER_BYTES]; /* a copy: what is looked at is what is authenticated */
  int64_t index;
  *call->refusal = look_at(media, call->packet, header, &index);
  if (*call->refusal != VAULT_PACKET_GOOD) return VAULT_OK;

  vault_bytes sealed = {call->packet.at + sizeof header, call->packet.length - sizeof header};
  int is_ahead = (uint64_t)index / EPOCH_PACKETS > media->epoch;
  result = is_ahead ? open_ahead(slot, header, (uint64_t)index, sealed, call->payload)
                    : open_known(media, header, (uint64_t)index, sealed, call->payload, call->refusal);
  if (result == VAULT_FORGED) {
    *call->refusal = VAULT_PACKET_FORGED;
    return VAULT_OK;
  }
  if (result != VAULT_OK || *call->refusal != VAULT_PACKET_GOOD) return result;
  mark_seen(media, index);
  *call->index = (uint64_t)index;
  *call->timestamp = read_number(header + 4, 4);
  return VAULT_OK;
}

vault_result vault_srtp_open(vault_handle packet_open, vault_bytes packet, vault_refusal *refusal, uint64_t *index,
                             uint32_t *timestamp, uint8_t *payload) {
  open_call call = {packet_open, packet, refusal, index, timestamp, payload};
  return run_small(open_on_stack, &call);
}
