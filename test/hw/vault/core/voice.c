/* Voice packets: published vectors, the turn of the key, the window, what is let go and why. */
#include "check.h"
#include "derive.h"
#include "seal.h"
#include "srtp.h"
#include "stack.h"

static const int64_t SEQUENCE_END = 65536;

static vault_media_profile profile(void) {
  static uint8_t salt[32];
  memset(salt, 0x7e, sizeof salt);
  return (vault_media_profile){
      .ssrc = 1, .ratchet_salt = {salt, sizeof salt}, .ratchet_info = bytes_of("feldfon/1 ratchet A")};
}

/* The master of an epoch, turned on by HKDF alone. */
static vault_bytes master_of(uint64_t epoch) {
  static uint8_t masters[80][VAULT_STREAM_KEY_BYTES];
  static uint64_t known = 1;
  for (int at = 0; at < VAULT_STREAM_KEY_BYTES; at++) masters[0][at] = (uint8_t)(at * 5);
  CHECK(epoch < 80);
  for (; known <= epoch; known++) {
    vault_bytes before = {masters[known - 1], VAULT_STREAM_KEY_BYTES};
    hkdf(&before, 1, profile().ratchet_salt, profile().ratchet_info, masters[known], VAULT_STREAM_KEY_BYTES);
  }
  return (vault_bytes){masters[epoch], VAULT_STREAM_KEY_BYTES};
}

static vault_handle voice_at(vault_use use, uint64_t index) {
  vault_testing_media_start(index);
  vault_handle slot = known_slot(use, master_of(index / EPOCH_PACKETS));
  vault_media_profile own = profile();
  GOOD(use == VAULT_PACKET_SEAL ? vault_srtp_sender(slot, &own) : vault_srtp_receiver(slot, &own));
  return slot;
}

enum { PACKET_BYTES = 8 + 28 };

/* What a sender makes of packet `index`; its payload is the index. */
static void packet_at(uint64_t index, uint8_t packet[PACKET_BYTES]) {
  vault_handle sender = voice_at(VAULT_PACKET_SEAL, index);
  GOOD(vault_srtp_seal(sender, (vault_bytes){(uint8_t *)&index, 8}, (uint32_t)index, packet));
  GOOD(vault_wipe(sender));
}

/* The refusal; when there is none, index, time stamp and payload are right. */
static vault_refusal opened(vault_handle receiver, const uint8_t packet[PACKET_BYTES], uint64_t expected) {
  vault_refusal refusal;
  uint64_t index, payload;
  uint32_t timestamp;
  vault_bytes bytes = {packet, PACKET_BYTES};
  GOOD(vault_srtp_open(receiver, bytes, &refusal, &index, &timestamp, (uint8_t *)&payload));
  if (refusal == VAULT_PACKET_GOOD) CHECK(index == expected && payload == expected && timestamp == (uint32_t)expected);
  return refusal;
}

static vault_refusal open_index(vault_handle receiver, uint64_t index) {
  uint8_t packet[PACKET_BYTES];
  packet_at(index, packet);
  return opened(receiver, packet, index);
}

/* ---- published vectors ---- */

static vault_result packet_vector(void *unused) {
  (void)unused;
  /* RFC 7714 16.2.1, 16.2.2 */
  struct session session = {.key_number = seal_next_key()};
  memcpy(session.key, hex("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f").at, 32);
  memcpy(session.salt, hex("517569642070726f2071756f").at, 12);
  vault_bytes header = hex("8040f17b8041f8d35501a0b2");
  vault_bytes clear = bytes_of("Gallia est omnis divisa in partes tres");
  vault_bytes packet = hex("8040f17b8041f8d35501a0b2 32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f"
                           "1ba63799b87b 7aa3db36dfffd6b0f9bb7878d7a76c13");
  uint8_t out[80];
  GOOD(seal_packet(&session, header.at, 0xf17b, clear, out));
  CHECK(memcmp(out, packet.at, packet.length) == 0);
  vault_bytes sealed = {packet.at + 12, packet.length - 12};
  GOOD(open_packet(&session, header.at, 0xf17b, sealed, out));
  CHECK(memcmp(out, clear.at, clear.length) == 0);
  IS(open_packet(&session, header.at, 0xf17b + 65536, sealed, out), VAULT_FORGED);
  return VAULT_OK;
}

static void seals_as_published(void) {
  open_vault(0);
  GOOD(run_small(packet_vector, NULL));
}

static vault_result kdf_vector(void *unused) {
  (void)unused;
  /* RFC 6188 7.2 */
  vault_bytes key = hex("f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6");
  vault_bytes salt = hex("3b04803de51ee7c96423ab5b78d2");
  uint8_t out[32];
  CHECK(srtp_kdf(key.at, salt.at, 0, out, 32));
  CHECK(memcmp(out, hex("5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4").at, 32) == 0);
  CHECK(srtp_kdf(key.at, salt.at, 2, out, 14));
  CHECK(memcmp(out, hex("fa31791685ca444a9e07c6c64e93").at, 14) == 0);
  return VAULT_OK;
}

static void derives_as_published(void) {
  open_vault(0);
  GOOD(run_small(kdf_vector, NULL));
}

/* ---- sender ---- */

static void turns_its_key(void) {
  open_vault(0);
  vault_handle sender = voice_at(VAULT_PACKET_SEAL, 0), receiver = voice_at(VAULT_PACKET_OPEN, 0);
  CHECK(holds(sender, master_of(0)));
  for (uint64_t index = 0; index < 3 * EPOCH_PACKETS + 2; index++) {
    uint8_t packet[PACKET_BYTES], alone[PACKET_BYTES];
    GOOD(vault_srtp_seal(sender, (vault_bytes){(uint8_t *)&index, 8}, (uint32_t)index, packet));
    CHECK(opened(receiver, packet, index) == VAULT_PACKET_GOOD);
    if (index % EPOCH_PACKETS > 1 && index % EPOCH_PACKETS < EPOCH_PACKETS - 2) continue;
    CHECK(holds(sender, master_of(index / EPOCH_PACKETS)));
    CHECK(holds(receiver, master_of(index / EPOCH_PACKETS)));
    packet_at(index, alone); /* the same packet from a sender that began there */
    CHECK(memcmp(packet, alone, sizeof packet) == 0);
  }
}

static uint8_t session_key[MASTER_KEY_BYTES];

static vault_result derive_session_key(void *epoch) {
  uint8_t salt[KDF_SALT_BYTES] = {0};
  const uint8_t *master = master_of(*(uint64_t *)epoch).at;
  memcpy(salt, master + MASTER_KEY_BYTES, MASTER_SALT_BYTES);
  return srtp_kdf(master, salt, 0, session_key, sizeof session_key) ? VAULT_OK : VAULT_INTERNAL;
}

static int has_session(uint64_t epoch) {
  GOOD(run_small(derive_session_key, &epoch));
  return hits_in_arena((vault_bytes){session_key, sizeof session_key}) > 0;
}

static void keeps_no_session_that_is_over(void) {
  open_vault(0);
  uint8_t packet[PACKET_BYTES];
  vault_handle sender = voice_at(VAULT_PACKET_SEAL, EPOCH_PACKETS - 1);
  GOOD(vault_srtp_seal(sender, bytes_of("."), 0, packet));
  CHECK(has_session(0) && !has_session(1));
  GOOD(vault_srtp_seal(sender, bytes_of("."), 0, packet));
  CHECK(!has_session(0) && has_session(1));
  GOOD(vault_wipe(sender));
  CHECK(!has_session(1));

  vault_handle receiver = voice_at(VAULT_PACKET_OPEN, EPOCH_PACKETS - 1);
  CHECK(open_index(receiver, EPOCH_PACKETS - 1) == VAULT_PACKET_GOOD);
  CHECK(open_index(receiver, EPOCH_PACKETS) == VAULT_PACKET_GOOD);
  CHECK(has_session(0) && has_session(1));
  CHECK(open_index(receiver, EPOCH_PACKETS + WINDOW_PACKETS - 2) == VAULT_PACKET_GOOD);
  CHECK(has_session(0));
  CHECK(open_index(receiver, EPOCH_PACKETS + WINDOW_PACKETS - 1) == VAULT_PACKET_GOOD);
  CHECK(!has_session(0) && has_session(1));
  CHECK(open_index(receiver, 4 * EPOCH_PACKETS - 1) == VAULT_PACKET_GOOD); /* two ahead, the one between is over too */
  CHECK(!has_session(1) && !has_session(2) && has_session(3));
}

static void rolls_over(void) {
  open_vault(0);
  vault_handle sender = voice_at(VAULT_PACKET_SEAL, 65536 - 300), receiver = voice_at(VAULT_PACKET_OPEN, 65536 - 300);
  for (uint64_t index = 65536 - 300; index < 65536 + 300; index++) {
    uint8_t packet[PACKET_BYTES];
    GOOD(vault_srtp_seal(sender, (vault_bytes){(uint8_t *)&index, 8}, (uint32_t)index, packet));
    CHECK(packet[2] == (index >> 8 & 0xff) && packet[3] == (index & 0xff));
    CHECK(opened(receiver, packet, index) == VAULT_PACKET_GOOD);
  }
}

static void ends_after_the_last_index(void) {
  open_vault(0);
  vault_testing_media_start((1ull << 48) - 2);
  vault_handle sender = fresh_slot(VAULT_PACKET_SEAL);
  vault_media_profile own = profile();
  uint8_t packet[64];
  GOOD(vault_srtp_sender(sender, &own));
  GOOD(vault_srtp_seal(sender, bytes_of("."), 0, packet));
  GOOD(vault_srtp_seal(sender, bytes_of("."), 0, packet));
  CHECK(packet[2] == 0xff && packet[3] == 0xff);
  for (int tries = 0; tries < 3; tries++) IS(vault_srtp_seal(sender, bytes_of("."), 0, packet), VAULT_EXHAUSTED);
}

static void takes_slots_over(void) {
  open_vault(0);
  vault_media_profile own = profile();
  vault_handle slot = fresh_slot(VAULT_PACKET_SEAL);
  uint8_t packet[64];
  IS(vault_srtp_seal(slot, bytes_of("."), 0, packet), VAULT_WRONG_USE);
  GOOD(vault_srtp_sender(slot, &own));
  IS(vault_srtp_sender(slot, &own), VAULT_WRONG_USE);
  IS(vault_seal(slot, 0, NOTHING, bytes_of("."), packet), VAULT_WRONG_USE);
  IS(vault_srtp_seal(slot, NOTHING, 0, packet), VAULT_WRONG_LENGTH);
  GOOD(vault_srtp_seal(slot, bytes_of("."), 0, packet));
  GOOD(vault_wipe(slot));
  IS(vault_srtp_seal(slot, bytes_of("."), 0, packet), VAULT_EMPTY_SLOT);

  slot = fresh_slot(VAULT_PACKET_SEAL);
  GOOD(vault_seal(slot, 0, NOTHING, bytes_of("."), packet));
  IS(vault_srtp_sender(slot, &own), VAULT_WRONG_USE);
  static uint8_t much[257];
  own.ratchet_info = (vault_bytes){much, sizeof much};
  IS(vault_srtp_sender(fresh_slot(VAULT_PACKET_SEAL), &own), VAULT_WRONG_LENGTH);
}

/* ---- receiver ---- */

static void opens_what_is_late(void) {
  open_vault(0);
  const uint64_t edges[] = {65536, EPOCH_PACKETS, 22 * EPOCH_PACKETS};
  for (int at = 0; at < 3; at++) {
    uint64_t edge = edges[at];
    vault_handle receiver = voice_at(VAULT_PACKET_OPEN, edge - 200);
    CHECK(open_index(receiver, edge - 200) == VAULT_PACKET_GOOD);
    CHECK(open_index(receiver, edge + 100) == VAULT_PACKET_GOOD);
    CHECK(open_index(receiver, edge - 1) == VAULT_PACKET_GOOD);
    CHECK(open_index(receiver, edge - 27) == VAULT_PACKET_GOOD);
    CHECK(open_index(receiver, edge - 28) == VAULT_PACKET_TOO_OLD);
    CHECK(open_index(receiver, edge - 27) == VAULT_PACKET_REPLAYED);
  }
}

static void tries_two_epochs_ahead(void) {
  open_vault(0);
  vault_handle receiver = voice_at(VAULT_PACKET_OPEN, 0);
  CHECK(open_index(receiver, 5) == VAULT_PACKET_GOOD);
  CHECK(open_index(receiver, 3 * EPOCH_PACKETS) == VAULT_PACKET_FORGED);
  CHECK(open_index(receiver, 3 * EPOCH_PACKETS - 1) == VAULT_PACKET_GOOD);
  CHECK(open_index(receiver, 5 * EPOCH_PACKETS - 1) == VAULT_PACKET_GOOD);
  CHECK(open_index(receiver, 5 * EPOCH_PACKETS - 127) == VAULT_PACKET_GOOD);
  CHECK(open_index(receiver, 5 * EPOCH_PACKETS + 20) == VAULT_PACKET_GOOD);
  CHECK(open_index(receiver, 5 * EPOCH_PACKETS - 2) == VAULT_PACKET_GOOD);
  CHECK(open_index(receiver, 7 * EPOCH_PACKETS + 3) == VAULT_PACKET_GOOD);
  CHECK(open_index(receiver, 7 * EPOCH_PACKETS - 3) == VAULT_PACKET_GOOD); /* an epoch of which only the end is left */
}

static void is_not_moved_by_forgeries(void) {
  open_vault(0);
  vault_handle receiver = voice_at(VAULT_PACKET_OPEN, 0);
  CHECK(open_index(receiver, 10) == VAULT_PACKET_GOOD);
  const uint64_t places[] = {11, 12, 200, EPOCH_PACKETS, 2 * EPOCH_PACKETS + 5, 3 * EPOCH_PACKETS - 1};
  size_t before = arena_used();
  for (int at = 0; at < 6; at++) {
    uint8_t forged[PACKET_BYTES];
    packet_at(places[at], forged);
    forged[PACKET_BYTES - 1] ^= 1;
    for (int tries = 0; tries < 3; tries++) CHECK(opened(receiver, forged, 0) == VAULT_PACKET_FORGED);
    CHECK(holds(receiver, master_of(0)));
  }
  CHECK(arena_used() == before);
  const uint64_t good[] = {11, 0, 9, 12};
  for (int at = 0; at < 4; at++) CHECK(open_index(receiver, good[at]) == VAULT_PACKET_GOOD);
  CHECK(open_index(receiver, 10) == VAULT_PACKET_REPLAYED);
}

static void drops_what_lies_before_the_first(void) {
  open_vault(0);
  vault_handle receiver = voice_at(VAULT_PACKET_OPEN, 0);
  CHECK(open_index(receiver, 40000) == VAULT_PACKET_TOO_OLD);
  CHECK(open_index(receiver, 65535) == VAULT_PACKET_TOO_OLD);
  CHECK(open_index(receiver, 0) == VAULT_PACKET_GOOD);
}

static void tells_what_is_malformed(void) {
  open_vault(0);
  vault_handle receiver = voice_at(VAULT_PACKET_OPEN, 0);
  uint8_t packet[PACKET_BYTES], payload[64];
  packet_at(0, packet);
  static const uint8_t changes[][2] = {{0, 0x90},      {0, 0xa0}, {0, 0x81}, {0, 0x00},
                                       {1, 96 | 0x80}, {1, 97},   {11, 2},   {8, 1}};
  for (size_t at = 0; at < sizeof changes / sizeof *changes; at++) {
    uint8_t strange[PACKET_BYTES];
    memcpy(strange, packet, sizeof packet);
    strange[changes[at][0]] = changes[at][1];
    CHECK(opened(receiver, strange, 0) == VAULT_PACKET_MALFORMED);
  }
  for (size_t bytes = 0; bytes <= 28; bytes++) {
    vault_refusal refusal;
    uint64_t index;
    uint32_t timestamp;
    GOOD(vault_srtp_open(receiver, (vault_bytes){packet, bytes}, &refusal, &index, &timestamp, payload));
    CHECK(refusal == VAULT_PACKET_MALFORMED);
  }
  CHECK(opened(receiver, packet, 0) == VAULT_PACKET_GOOD);
}

/* Lost, late, doubled, forged: a packet opens once, and why another does not is as the window says. */
static void opens_each_packet_once(void) {
  open_vault(0);
  srand(4);
  const int64_t starts[] = {0, 1, 2990, 65500, 131000, 196590};
  for (int round = 0; round < 60; round++) {
    int64_t start = starts[round % 6], highest = start - 1;
    vault_handle receiver = voice_at(VAULT_PACKET_OPEN, (uint64_t)start);
    static int64_t seen[64];
    int count = 0;
    for (int arrival = 0; arrival < 60; arrival++) {
      int kind = rand() % 10;
      int64_t step = kind < 6 ? rand() % 41 - 20 : kind < 8 ? rand() % 441 - 140 : kind < 9 ? 2500 + rand() % 1000
                                                                                        : 5500 + rand() % 4000;
      int64_t index = highest + step > start ? highest + step : start;
      if (index / EPOCH_PACKETS >= 80) break;
      uint8_t packet[PACKET_BYTES];
      packet_at((uint64_t)index, packet);
      if (rand() % 4 == 0) {
        packet[rand() % PACKET_BYTES] ^= (uint8_t)(1 << rand() % 8);
        CHECK(opened(receiver, packet, 0) != VAULT_PACKET_GOOD);
        continue;
      }
      int is_known = 0;
      for (int at = 0; at < count; at++) is_known |= seen[at] == index;
      vault_refusal refusal = opened(receiver, packet, (uint64_t)index);
      int64_t reference = highest > start ? highest : start;
      if (index <= highest - WINDOW_PACKETS) CHECK(refusal == VAULT_PACKET_TOO_OLD);
      else if (is_known) CHECK(refusal == VAULT_PACKET_REPLAYED);
      else if (index / EPOCH_PACKETS > reference / EPOCH_PACKETS + 2) CHECK(refusal == VAULT_PACKET_FORGED);
      else {
        CHECK(refusal == VAULT_PACKET_GOOD);
        seen[count++] = index;
        if (index > highest) highest = index;
      }
    }
    GOOD(vault_wipe(receiver));
  }
}

static void guesses_the_index(void) {
  CHECK(guess_index(0, 0) == 0);
  CHECK(guess_index(32768, 0) == 32768);
  CHECK(guess_index(32769, 0) == 32769 - SEQUENCE_END);
  CHECK(guess_index(0, 65535) == SEQUENCE_END);
  CHECK(guess_index(65535, SEQUENCE_END) == 65535);
  CHECK(guess_index(0, 32768) == 0);
  CHECK(guess_index(0, 32769) == SEQUENCE_END);
  srand(1);
  for (int round = 0; round < 100000; round++) {
    int64_t highest = (int64_t)rand() << 16 | rand() % 65536, index = highest + rand() % 65535 - 32767;
    if (index >= 0) CHECK(guess_index((uint16_t)index, highest) == index);
  }
}

const test voice_tests[] = {
    {"voice: a packet is sealed as RFC 7714 has it", seals_as_published},
    {"voice: keys are derived as RFC 6188 has it", derives_as_published},
    {"voice: the key turns every 3,000 packets", turns_its_key},
    {"voice: no session is kept that is over", keeps_no_session_that_is_over},
    {"voice: the sequence number rolls over into the index", rolls_over},
    {"voice: after 2^48 packets comes none", ends_after_the_last_index},
    {"voice: slots are taken over", takes_slots_over},
    {"voice: late packets open at the edges, once", opens_what_is_late},
    {"voice: keys are tried two epochs ahead", tries_two_epochs_ahead},
    {"voice: forgeries move nothing", is_not_moved_by_forgeries},
    {"voice: what lies before the first packet is dropped", drops_what_lies_before_the_first},
    {"voice: malformed packets are told", tells_what_is_malformed},
    {"voice: each packet opens once, whatever happens on the way", opens_each_packet_once},
    {"voice: the index is the nearest one", guesses_the_index},
    {0},
};
