/*
 * Packets come to a receiver, beside a model of its window that knows what was sent.
 *
 *     bytes | where the call is | arrival | arrival | ..       arrival = kind | step or bytes
 *
 * What was sealed by a sender of the same keys opens once, with its index, time stamp and payload; what was damaged or
 * made up never opens; and what is refused leaves no trace: the model goes on as if it had not come.
 */
#include "arena.h"
#include "derive.h"
#include "fuzz.h"

/* Of wire.md, VOICE, and not of the core, which may be wrong. */
enum { EPOCH = 3000, WINDOW = 128, AHEAD = 2 };
enum { PAYLOAD_BYTES = 8, PACKET_BYTES = PAYLOAD_BYTES + 28, ROOM = 512, EPOCHS = 80, ARRIVALS_MOST = 200, SSRC = 7 };

static const uint8_t INFO[] = "feldfon/1 ratchet";
static uint8_t masters[EPOCHS][VAULT_STREAM_KEY_BYTES];
static size_t baseline;

static vault_media_profile profile(void) {
  return (vault_media_profile){.ssrc = SSRC, .ratchet_salt = {INFO, 7}, .ratchet_info = {INFO, sizeof INFO}};
}

static vault_handle voice_at(vault_use use, int64_t index) {
  vault_handle slot;
  vault_media_profile own = profile();
  vault_bytes master = {masters[index / EPOCH], VAULT_STREAM_KEY_BYTES};
  vault_testing_media_start((uint64_t)index);
  MUST(vault_testing_import(use, master, &slot) == VAULT_OK);
  MUST((use == VAULT_PACKET_SEAL ? vault_srtp_sender : vault_srtp_receiver)(slot, &own) == VAULT_OK);
  return slot;
}

static void packet_at(int64_t index, uint8_t packet[PACKET_BYTES]) {
  vault_handle sender = voice_at(VAULT_PACKET_SEAL, index);
  MUST(vault_srtp_seal(sender, (vault_bytes){(uint8_t *)&index, PAYLOAD_BYTES}, (uint32_t)index, packet) == VAULT_OK);
  MUST(vault_wipe(sender) == VAULT_OK);
}

static void prepare(void) {
  vault_media_profile own = profile();
  MUST(vault_open(&(vault_options){.arena_bytes = 1024 * 1024, .slots_max = 16}) == VAULT_OK);
  for (int at = 0; at < VAULT_STREAM_KEY_BYTES; at++) masters[0][at] = (uint8_t)(at * 5);
  for (int epoch = 1; epoch < EPOCHS; epoch++) {
    vault_bytes before = {masters[epoch - 1], VAULT_STREAM_KEY_BYTES};
    hkdf(&before, 1, own.ratchet_salt, own.ratchet_info, masters[epoch], VAULT_STREAM_KEY_BYTES);
  }
  uint8_t packet[PACKET_BYTES];
  packet_at(0, packet);
  baseline = arena_used();
}

/* ---- the model: what has been opened ---- */

static int64_t start, highest, opened[ARRIVALS_MOST];
static int count;

static vault_refusal wanted(int64_t index) {
  int64_t reference = highest > 0 ? highest : 0;
  if (index <= highest - WINDOW) return VAULT_PACKET_TOO_OLD;
  for (int at = 0; at < count; at++) {
    if (opened[at] == index) return VAULT_PACKET_REPLAYED;
  }
  if (highest < start) reference = start;
  return index / EPOCH > reference / EPOCH + AHEAD ? VAULT_PACKET_FORGED : VAULT_PACKET_GOOD;
}

/* ---- arrivals ---- */

static vault_handle receiver;

/* The refusal; a payload is written only where the contract says so. */
static vault_refusal arrive(vault_bytes packet, int64_t expected) {
  static uint8_t payload[ROOM];
  vault_refusal refusal;
  uint64_t index = 0;
  uint32_t timestamp = 0;
  memset(payload, 0x5a, sizeof payload);
  MUST(vault_srtp_open(receiver, packet, &refusal, &index, &timestamp, payload) == VAULT_OK);
  size_t clear_bytes = packet.length > 28 ? packet.length - 28 : 0;
  for (size_t at = clear_bytes; at < sizeof payload; at++) MUST(payload[at] == 0x5a);
  if (refusal == VAULT_PACKET_GOOD) {
    MUST(index == (uint64_t)expected && timestamp == (uint32_t)expected);
    MUST(clear_bytes == PAYLOAD_BYTES && memcmp(payload, &expected, PAYLOAD_BYTES) == 0);
  } else if (clear_bytes > 0) {
    for (size_t at = 1; at < clear_bytes; at++) MUST(payload[at] == payload[0]);
    MUST(payload[0] == 0x5a || (refusal == VAULT_PACKET_FORGED && payload[0] == 0));
  }
  return refusal;
}

static void good_packet(int64_t index) {
  uint8_t packet[PACKET_BYTES];
  packet_at(index, packet);
  vault_refusal refusal = arrive((vault_bytes){packet, sizeof packet}, index);
  MUST(refusal == wanted(index));
  if (refusal != VAULT_PACKET_GOOD) return;
  opened[count++] = index;
  if (index > highest) highest = index;
}

static void damaged_packet(fuzz_input *input, int64_t index) {
  uint8_t packet[PACKET_BYTES + 16] = {0};
  packet_at(index, packet);
  size_t length = PACKET_BYTES;
  uint8_t how = next_byte(input), place = next_byte(input) % PACKET_BYTES;
  if (how % 4 == 0) length = place;
  else if (how % 4 == 1) length += 1u + place % 16;
  else packet[place] ^= (uint8_t)(how | 1);
  MUST(arrive((vault_bytes){packet, length}, -1) != VAULT_PACKET_GOOD);
}

static void made_up_packet(fuzz_input *input) {
  uint8_t packet[ROOM - 1] = {0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, SSRC};
  size_t length = next_byte(input) * 2u, from = next_byte(input) % 16;
  for (size_t at = from; at < length; at++) packet[at] = next_byte(input);
  MUST(arrive((vault_bytes){packet, length}, -1) != VAULT_PACKET_GOOD);
}

static void one_arrival(fuzz_input *input) {
  uint8_t kind = next_byte(input);
  int64_t step = kind & 1 ? (int16_t)next_word(input) : (int8_t)next_byte(input);
  int64_t index = highest + step;
  if (index < 0) index = 0;
  /* What lies further back than half of the sequence numbers is another packet to a receiver. */
  if (index < start) index = start;
  if (index / EPOCH >= EPOCHS - 1) return;
  switch (kind >> 1 & 7) {
    case 0: made_up_packet(input); break;
    case 1: case 2: damaged_packet(input, index); break;
    default: good_packet(index); break;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const int64_t starts[] = {0, 1, 2990, 65500, 131000, 196590};
  static int is_open;
  if (!is_open) {
    prepare();
    is_open = 1;
  }
  fuzz_input input = {data, size};
  start = starts[next_byte(&input) % 6];
  highest = start - 1;
  count = 0;
  receiver = voice_at(VAULT_PACKET_OPEN, start);
  for (int arrivals = 0; input.left > 0 && arrivals < ARRIVALS_MOST; arrivals++) one_arrival(&input);
  MUST(vault_wipe(receiver) == VAULT_OK);
  MUST(arena_used() == baseline);
  return 0;
}
