/* Voice: a slot becomes sender or receiver, and a function that belongs to it takes the packets. */
#include "skin.h"

enum { PACKET_BYTES_MORE = VAULT_SRTP_HEADER_BYTES + VAULT_TAG_BYTES };

typedef vault_result (*media_start)(vault_handle slot, const vault_media_profile *profile);

/* (slot, ssrc, ratchet salt, ratchet info) => function for the packets */
static napi_value start(napi_env env, napi_callback_info info, media_start begin, napi_callback packets) {
  skin_call c;
  vault_record *slot;
  vault_media_profile profile;
  if (!call_begin(env, info, 4, &c) || !take_record(&c, 0, &slot) || !take_uint32(&c, 1, &profile.ssrc) ||
      !take_bytes(&c, 2, &profile.ratchet_salt) || !take_bytes(&c, 3, &profile.ratchet_info)) {
    return NULL;
  }
  vault_result result = begin(slot->box.handle, &profile);
  return result == VAULT_OK ? made(&c, function_bind(c.realm, slot->box.handle, packets)) : refuse(&c, result);
}

/* (payload, timestamp, packet) */
static napi_value srtp_seal(napi_env env, napi_callback_info info) {
  skin_call c;
  vault_handle slot;
  vault_bytes payload;
  uint32_t timestamp;
  uint8_t *packet;
  if (!call_begin_bound(env, info, 3, &c, &slot) || !take_uint32(&c, 1, &timestamp) || !take_bytes(&c, 0, &payload) ||
      !take_output(&c, 2, payload.length + PACKET_BYTES_MORE, &packet)) {
    return NULL;
  }
  return done(&c, vault_srtp_seal(slot, payload, timestamp, packet));
}

/* (packet, payload) => index of the packet, or below 0 the refusal */
static napi_value srtp_open(napi_env env, napi_callback_info info) {
  skin_call c;
  vault_handle slot;
  vault_bytes packet;
  uint8_t *payload;
  vault_refusal refusal = VAULT_PACKET_MALFORMED;
  uint64_t index = 0;
  uint32_t timestamp = 0;
  napi_value answer = NULL;
  if (!call_begin_bound(env, info, 2, &c, &slot) || !take_bytes(&c, 0, &packet)) return NULL;
  size_t length = packet.length < PACKET_BYTES_MORE ? 0 : packet.length - PACKET_BYTES_MORE;
  if (!take_output(&c, 1, length, &payload)) return NULL;
  vault_result result = vault_srtp_open(slot, packet, &refusal, &index, &timestamp, payload);
  if (result != VAULT_OK) return refuse(&c, result);
  napi_create_double(env, refusal == VAULT_PACKET_GOOD ? (double)index : -(double)refusal, &answer);
  return answer;
}

static napi_value srtp_sender(napi_env env, napi_callback_info info) {
  return start(env, info, vault_srtp_sender, srtp_seal);
}

static napi_value srtp_receiver(napi_env env, napi_callback_info info) {
  return start(env, info, vault_srtp_receiver, srtp_open);
}

const skin_function media_functions[] = {
    {"srtpSender", srtp_sender},
    {"srtpReceiver", srtp_receiver},
    {NULL, NULL},
};
