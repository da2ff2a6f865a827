/* From JavaScript's values to the core's, and from its answers back. Nothing here runs code of the caller. */
#include <errno.h>
#include <stdio.h>

#include "skin.h"

/* OpenSSL counts bytes in an int. */
static const size_t BYTES_MAX = 0x7fffff00;

static bool begin(napi_env env, napi_callback_info info, size_t least, size_t most, skin_call *call, void **data) {
  call->env = env;
  call->count = most;
  if (napi_get_cb_info(env, info, &call->count, call->arguments, NULL, data) != napi_ok) return false;
  if (call->count >= least && call->count <= most) return true;
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "another number of arguments was expected");
  return false;
}

bool call_begin_wide(napi_env env, napi_callback_info info, size_t least, size_t most, skin_call *call) {
  void *data = NULL;
  bool begun = begin(env, info, least, most, call, &data);
  call->realm = data;
  return begun;
}

bool call_begin_bound(napi_env env, napi_callback_info info, size_t count, skin_call *call, vault_handle *slot) {
  void *data = NULL;
  if (!begin(env, info, count, count, call, &data)) return false;
  const bound_slot *bound = data;
  call->realm = bound->realm;
  *slot = bound->slot;
  return true;
}

bool call_begin(napi_env env, napi_callback_info info, size_t count, skin_call *call) {
  return call_begin_wide(env, info, count, count, call);
}

static bool wrong_type(skin_call *call, const char *expected) {
  bool pending = false;
  napi_is_exception_pending(call->env, &pending);
  if (!pending) napi_throw_type_error(call->env, "ERR_INVALID_ARG_TYPE", expected);
  return false;
}

bool take_record(skin_call *call, size_t at, vault_record **record) {
  *record = record_of(call->realm, call->arguments[at]);
  if (*record != NULL) return true;
  refuse(call, VAULT_NO_SUCH_SLOT);
  return false;
}

/* OpenSSL takes a null pointer for a question, so nothing has a place as well. */
static uint8_t NOTHING[1];

bool take_bytes(skin_call *call, size_t at, vault_bytes *bytes) {
  napi_typedarray_type type = napi_int8_array;
  napi_value memory = NULL;
  void *data = NULL;
  size_t length = 0;
  if (napi_get_typedarray_info(call->env, call->arguments[at], &type, &length, &data, &memory, NULL) != napi_ok ||
      type != napi_uint8_array) {
    return wrong_type(call, "a Uint8Array was expected");
  }
  bool own = false;
  bool detached = false;
  // Shared memory is no ArrayBuffer for N-API; what another thread can change meanwhile is not taken.
  if (napi_is_arraybuffer(call->env, memory, &own) != napi_ok || !own) {
    return wrong_type(call, "a Uint8Array on memory of its own was expected, shared memory came");
  }
  if (length == 0 && (napi_is_detached_arraybuffer(call->env, memory, &detached) != napi_ok || detached)) {
    return wrong_type(call, "a Uint8Array came whose memory was given away");
  }
  if (length > BYTES_MAX) {
    refuse(call, VAULT_WRONG_LENGTH);
    return false;
  }
  *bytes = length == 0 ? (vault_bytes){NOTHING, 0} : (vault_bytes){data, length};
  return true;
}

bool take_output(skin_call *call, size_t at, size_t length, uint8_t **output) {
  void *data = NULL;
  size_t there = 0;
  if (napi_get_typedarray_info(call->env, call->arguments[at], NULL, &there, &data, NULL, NULL) != napi_ok) {
    return wrong_type(call, "a Uint8Array was expected");
  }
  if (there != length) {
    refuse(call, VAULT_WRONG_LENGTH);
    return false;
  }
  *output = length == 0 ? NOTHING : data;
  return true;
}

bool take_number(skin_call *call, size_t at, double *number) {
  return napi_get_value_double(call->env, call->arguments[at], number) == napi_ok ||
         wrong_type(call, "a number was expected");
}

bool take_whole(skin_call *call, size_t at, double most, vault_result otherwise, uint64_t *number) {
  double value = 0;
  if (!take_number(call, at, &value)) return false;
  // NaN passes no comparison.
  if (value >= 0 && value <= most && (double)(uint64_t)value == value) {
    *number = (uint64_t)value;
    return true;
  }
  refuse(call, otherwise);
  return false;
}

bool take_uint32(skin_call *call, size_t at, uint32_t *number) {
  return napi_get_value_uint32(call->env, call->arguments[at], number) == napi_ok ||
         wrong_type(call, "a number was expected");
}

/* ---- answers ---- */

napi_value error_of(vault_realm *realm, vault_result result, int error_number) {
  napi_env env = realm->env;
  napi_value refusal, nothing, error = NULL;
  napi_value arguments[2];
  if (napi_get_reference_value(env, realm->refusal, &refusal) != napi_ok ||
      napi_get_undefined(env, &nothing) != napi_ok ||
      napi_create_string_utf8(env, vault_word(result), NAPI_AUTO_LENGTH, &arguments[0]) != napi_ok ||
      napi_create_int32(env, error_number, &arguments[1]) != napi_ok ||
      napi_call_function(env, nothing, refusal, 2, arguments, &error) != napi_ok) {
    return NULL;
  }
  return error;
}

napi_value refuse(skin_call *call, vault_result result) {
  int error_number = result == VAULT_FILE ? errno : 0;
  bool pending = false;
  napi_is_exception_pending(call->env, &pending);
  napi_value error = pending ? NULL : error_of(call->realm, result, error_number);
  if (error != NULL) napi_throw(call->env, error);
  return NULL;
}

napi_value done(skin_call *call, vault_result result) { return result == VAULT_OK ? NULL : refuse(call, result); }

napi_value new_buffer(napi_env env, size_t length, uint8_t **bytes) {
  napi_value buffer = NULL;
  void *data = NULL;
  if (napi_create_buffer(env, length, &data, &buffer) != napi_ok) return NULL;
  *bytes = data;
  return buffer;
}

bool room_for(skin_call *call, uint32_t slots) {
  if (realm_has_room(call->realm, slots)) return true;
  refuse(call, VAULT_FULL);
  return false;
}

napi_value made(skin_call *call, napi_value value) { return value != NULL ? value : refuse(call, VAULT_INTERNAL); }

napi_value slot_born(skin_call *call, vault_result result, vault_handle handle, vault_use use) {
  return result == VAULT_OK ? made(call, slot_make(call->realm, handle, use)) : refuse(call, result);
}

napi_value object_of(napi_env env, const napi_property_descriptor *properties, size_t count) {
  napi_value object = NULL;
  for (size_t at = 0; at < count; at++) {
    if (properties[at].value == NULL && properties[at].method == NULL) return NULL;
  }
  if (napi_create_object(env, &object) != napi_ok) return NULL;
  return napi_define_properties(env, object, count, properties) == napi_ok ? object : NULL;
}
