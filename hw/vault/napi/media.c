/* Voice: a slot becomes sender or receiver and stays what it is; packets go in and out by the same handle. */
#include "skin.h"

typedef vault_result (*media_start)(vault_handle slot, const vault_media_profile *profile);

/* (slot, ssrc, ratchet salt, ratchet info) */
static napi_value start(napi_env env, napi_callback_info info, media_start begin) {
  skin_call c;
  vault_record *slot;
  vault_media_profile profile;
  if (!call_begin(env, info, 4, &c) || !take_record(&c, 0, &slot) || !take_uint32(&c, 1, &profile.ssrc) ||
      !take_bytes(&c, 2, &profile.ratchet_salt) || !take_bytes(&c, 3, &profile.ratchet_info)) {
    return NULL;
  }
  return done(&c, begin(slot->box.handle, &profile));
}

static napi_value srtp_sender(napi_env env, napi_callback_info info) { return start(env, info, vault_srtp_sender); }

static napi_value srtp_receiver(napi_env env, napi_callback_info info) {
  return start(env, info, vault_srtp_receiver);
}

enum { PACKET_BYTES_MORE = VAULT_SRTP_HEADER_BYTES + VAULT_TAG_BYTES };

/* (slot, payload, timestamp, packet) */
static napi_value srtp_seal(napi_env env, napi_callback_info info) {
  skin_call c;
  vault_record *slot;
  vault_bytes payload;
  uint32_t timestamp;
  uint8_t *packet;
  if (!call_begin(env, info, 4, &c) || !take_record(&c, 0, &slot) || !take_uint32(&c, 2, &timestamp) ||
      !take_bytes(&c, 1, &payload) || !take_output(&c, 3, payload.length + PACKET_BYTES_MORE, &packet)) {
    return NULL;
  }
  return done(&c, vault_srtp_seal(slot->box.handle, payload, timestamp, packet));
}

/* (slot, packet, payload) => index of the packet, or below 0 the refusal */
static napi_value srtp_open(napi_env env, napi_callback_info info) {
  skin_call c;
  vault_record *slot;
  vault_bytes packet;
  uint8_t *payload;
  vault_refusal refusal = VAULT_PACKET_MALFORMED;
  uint64_t index = 0;
  uint32_t timestamp = 0;
  napi_value answer = NULL;
  if (!call_begin(env, info, 3, &c) || !take_record(&c, 0, &slot) || !take_bytes(&c, 1, &packet)) return NULL;
  size_t length = packet.length < PACKET_BYTES_MORE ? 0 : packet.length - PACKET_BYTES_MORE;
  if (!take_output(&c, 2, length, &payload)) return NULL;
  vault_result result = vault_srtp_open(slot->box.handle, packet, &refusal, &index, &timestamp, payload);
  if (result != VAULT_OK) return refuse(&c, result);
  napi_create_double(env, refusal == VAULT_PACKET_GOOD ? (double)index : -(double)refusal, &answer);
  return answer;
}

const skin_function media_functions[] = {
    {"srtpSender", srtp_sender},
    {"srtpReceiver", srtp_receiver},
    {"srtpSeal", srtp_seal},
    {"srtpOpen", srtp_open},
    {NULL, NULL},
};
