/*
 * RSA and keys at rest, off the event loop: each call becomes a job with copies of its arguments, run by Node's thread pool.
 *
 *     call -> job ----execute (pool thread: core only)----> complete (JavaScript's thread: promise)
 *
 * A job that makes something looks at the end whether its realm or its key pair was wiped meanwhile; then what it
 * made is wiped too and the answer is `empty-slot`, whatever it would have been.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "skin.h"

typedef struct rsa_job rsa_job;

typedef struct job_kind {
  const char *name;
  vault_result (*execute)(rsa_job *job);
  napi_value (*answer)(rsa_job *job); /* what the promise becomes */
  bool makes;                     /* a handle, in `made` */
  uint32_t slots;                 /* kept free for it */
} job_kind;

struct rsa_job {
  const job_kind *kind;
  vault_realm *realm;
  uint64_t wipes;
  napi_async_work work;
  napi_deferred deferred;
  napi_ref pair_object; /* so that the collector leaves it */
  vault_record *pair;
  vault_handle pair_handle;
  vault_handle pin; /* JavaScript holds its object while the job runs */
  uint32_t memory_kib;
  uint32_t passes;
  vault_handle made;
  vault_result result;
  int error_number;
  uint8_t output[VAULT_SPKI_BYTES]; /* SubjectPublicKeyInfo, or a signature */
  vault_bytes first;
  vault_bytes second;
  uint8_t copies[];
};

static void job_free(rsa_job *job) {
  napi_env env = job->realm->env;
  if (job->pair_object != NULL) napi_delete_reference(env, job->pair_object);
  if (job->work != NULL) napi_delete_async_work(env, job->work);
  job->realm->slots_promised -= job->kind->slots;
  realm_release(job->realm);
  free(job);
}

static void execute(napi_env env, void *data) {
  (void)env;
  rsa_job *job = data;
  errno = 0;
  job->result = job->kind->execute(job);
  job->error_number = job->result == VAULT_FILE ? errno : 0;
}

static bool outlived(const rsa_job *job) {
  if (job->wipes != job->realm->wipes || job->realm->ended) return true;
  return job->pair != NULL && !job->pair->alive;
}

static void complete(napi_env env, napi_status status, void *data) {
  rsa_job *job = data;
  if (status != napi_ok) job->result = VAULT_INTERNAL;
  if (job->kind->makes && outlived(job)) {
    if (job->result == VAULT_OK) vault_wipe(job->made); // 0 is harmless
    job->result = VAULT_EMPTY_SLOT;
  }
  bool good = job->result == VAULT_OK;
  napi_value answer = good ? job->kind->answer(job) : error_of(job->realm, job->result, job->error_number);
  // Without an answer the environment is going, and nobody waits any more.
  if (answer != NULL) (good ? napi_resolve_deferred : napi_reject_deferred)(env, job->deferred, answer);
  job_free(job);
}

/* ---- a job, from its arguments ---- */

static vault_bytes copied(uint8_t *to, vault_bytes from) {
  memcpy(to, from.at, from.length);
  return (vault_bytes){to, from.length};
}

/* What a job needs; NULL and zeros where it needs none. */
typedef struct job_order {
  napi_value pair_object;
  vault_record *pair;
  vault_record *pin;
  vault_bytes first;
  vault_bytes second;
  uint32_t memory_kib;
  uint32_t passes;
} job_order;

/* @returns the promise */
static napi_value begin_order(skin_call *call, const job_kind *kind, const job_order *order) {
  napi_env env = call->env;
  napi_value promise = NULL, name;
  vault_record *pair = order->pair;
  vault_bytes first = order->first, second = order->second;
  if (!room_for(call, kind->slots)) return NULL;
  rsa_job *job = calloc(1, sizeof *job + first.length + second.length);
  if (job == NULL) return refuse(call, VAULT_NO_MEMORY);
  job->pin = order->pin == NULL ? 0 : order->pin->box.handle;
  job->memory_kib = order->memory_kib;
  job->passes = order->passes;
  job->kind = kind;
  job->realm = call->realm;
  job->wipes = call->realm->wipes;
  job->pair = pair;
  job->pair_handle = pair == NULL ? 0 : pair->box.handle;
  job->first = copied(job->copies, first);
  job->second = copied(job->copies + first.length, second);
  realm_hold(job->realm);
  job->realm->slots_promised += kind->slots;
  if ((pair == NULL || napi_create_reference(env, order->pair_object, 1, &job->pair_object) == napi_ok) &&
      napi_create_string_utf8(env, kind->name, NAPI_AUTO_LENGTH, &name) == napi_ok &&
      napi_create_async_work(env, NULL, name, execute, complete, job, &job->work) == napi_ok &&
      napi_create_promise(env, &job->deferred, &promise) == napi_ok &&
      napi_queue_async_work(env, job->work) == napi_ok) {
    return promise;
  }
  job_free(job);
  return refuse(call, VAULT_INTERNAL);
}

static napi_value begin(skin_call *call, const job_kind *kind, napi_value pair_object, vault_record *pair,
                        vault_bytes first, vault_bytes second) {
  const job_order order = {.pair_object = pair_object, .pair = pair, .first = first, .second = second};
  return begin_order(call, kind, &order);
}

static const vault_bytes NOTHING = {(const uint8_t *)"", 0};

/* A path of the file system, with its final zero. */
static bool take_path(skin_call *call, size_t at, char path[4096], vault_bytes *bytes) {
  size_t length = 0;
  if (napi_get_value_string_utf8(call->env, call->arguments[at], path, 4096, &length) != napi_ok || length >= 4095 ||
      memchr(path, 0, length) != NULL) {
    napi_throw_type_error(call->env, "ERR_INVALID_ARG_VALUE", "a path was expected");
    return false;
  }
  *bytes = (vault_bytes){(const uint8_t *)path, length + 1};
  return true;
}

/* ---- key pairs ---- */

static napi_value pair_of(rsa_job *job) { return key_pair_make(job->realm, job->made, job->output); }

static vault_result execute_make(rsa_job *job) { return vault_make_key_pair(&job->made, job->output); }

static const job_kind MAKE = {"feldfon:make-key-pair", execute_make, pair_of, true, 0};

/* () => promise of a key pair */
static napi_value make_key_pair(napi_env env, napi_callback_info info) {
  skin_call c;
  return call_begin(env, info, 0, &c) ? begin(&c, &MAKE, NULL, NULL, NOTHING, NOTHING) : NULL;
}

static vault_result execute_load(rsa_job *job) {
  return vault_load_key_pair((const char *)job->first.at, &job->made, job->output);
}

static const job_kind LOAD = {"feldfon:load-key-pair", execute_load, pair_of, true, 0};

/* (path) => promise of a key pair */
static napi_value load_key_pair(napi_env env, napi_callback_info info) {
  skin_call c;
  char path[4096];
  vault_bytes bytes;
  if (!call_begin(env, info, 1, &c) || !take_path(&c, 0, path, &bytes)) return NULL;
  return begin(&c, &LOAD, NULL, NULL, bytes, NOTHING);
}

static vault_result execute_save(rsa_job *job) {
  return vault_save_key_pair(job->pair_handle, (const char *)job->first.at);
}

static napi_value nothing_of(rsa_job *job) {
  napi_value nothing = NULL;
  napi_get_undefined(job->realm->env, &nothing);
  return nothing;
}

static const job_kind SAVE = {"feldfon:save-key-pair", execute_save, nothing_of, false, 0};

/* (pair, path) => promise */
static napi_value save_key_pair(napi_env env, napi_callback_info info) {
  skin_call c;
  char path[4096];
  vault_bytes bytes;
  vault_record *pair;
  if (!call_begin(env, info, 2, &c) || !take_record(&c, 0, &pair) || !take_path(&c, 1, path, &bytes)) return NULL;
  return begin(&c, &SAVE, c.arguments[0], pair, bytes, NOTHING);
}

/* ---- keys at rest: (pin, path, device, ...) => promise; device: kind, 0 file or 1 command, words that end in zeros ---- */

static vault_device device_of(const rsa_job *job) {
  vault_bytes words = {job->second.at + 2, job->second.length - 2};
  return (vault_device){.kind = job->second.at[0], .is_command = job->second.at[1], .words = words};
}

/* `pair_at` 0: there is none. */
static bool take_order(skin_call *call, size_t pair_at, char path[4096], job_order *order) {
  if (!take_record(call, 0, &order->pin) || !take_path(call, 1, path, &order->first) ||
      !take_bytes(call, 2, &order->second)) {
    return false;
  }
  if (order->second.length < 2) {
    refuse(call, VAULT_NO_DEVICE);
    return false;
  }
  if (pair_at == 0) return true;
  order->pair_object = call->arguments[pair_at];
  return take_record(call, pair_at, &order->pair);
}

static vault_result execute_load_sealed(rsa_job *job) {
  const vault_device device = device_of(job);
  return vault_load_sealed(job->pin, (const char *)job->first.at, &device, &job->made, job->output);
}

/* Nothing for the PIN under duress. */
static napi_value unlocked_of(rsa_job *job) { return job->made == 0 ? nothing_of(job) : pair_of(job); }

static const job_kind LOAD_SEALED = {"feldfon:load-sealed", execute_load_sealed, unlocked_of, true, 0};

static napi_value load_sealed(napi_env env, napi_callback_info info) {
  skin_call c;
  char path[4096];
  job_order order = {.pair = NULL};
  if (!call_begin(env, info, 3, &c) || !take_order(&c, 0, path, &order)) return NULL;
  return begin_order(&c, &LOAD_SEALED, &order);
}

static vault_result execute_save_sealed(rsa_job *job) {
  const vault_device device = device_of(job);
  return vault_save_sealed(job->pin, job->pair_handle, (const char *)job->first.at, &device, job->memory_kib,
                           job->passes);
}

static const job_kind SAVE_SEALED = {"feldfon:save-sealed", execute_save_sealed, nothing_of, false, 0};

/* (.., pair, memory in KiB, passes) */
static napi_value save_sealed(napi_env env, napi_callback_info info) {
  skin_call c;
  char path[4096];
  job_order order = {.pair = NULL};
  if (!call_begin(env, info, 6, &c) || !take_order(&c, 3, path, &order) || !take_uint32(&c, 4, &order.memory_kib) ||
      !take_uint32(&c, 5, &order.passes)) {
    return NULL;
  }
  return begin_order(&c, &SAVE_SEALED, &order);
}

static vault_result execute_change_pin(rsa_job *job) {
  const vault_device device = device_of(job);
  return vault_change_pin(job->pin, job->pair_handle, (const char *)job->first.at, &device);
}

static const job_kind CHANGE_PIN = {"feldfon:change-pin", execute_change_pin, nothing_of, false, 0};

/* (.., pair) */
static napi_value change_pin(napi_env env, napi_callback_info info) {
  skin_call c;
  char path[4096];
  job_order order = {.pair = NULL};
  if (!call_begin(env, info, 4, &c) || !take_order(&c, 3, path, &order)) return NULL;
  return begin_order(&c, &CHANGE_PIN, &order);
}

static vault_result execute_set_duress_pin(rsa_job *job) {
  const vault_device device = device_of(job);
  return vault_set_duress_pin(job->pin, (const char *)job->first.at, &device);
}

static const job_kind SET_DURESS_PIN = {"feldfon:set-duress-pin", execute_set_duress_pin, nothing_of, false, 0};

static napi_value set_duress_pin(napi_env env, napi_callback_info info) {
  skin_call c;
  char path[4096];
  job_order order = {.pair = NULL};
  if (!call_begin(env, info, 3, &c) || !take_order(&c, 0, path, &order)) return NULL;
  return begin_order(&c, &SET_DURESS_PIN, &order);
}

/* ---- signing and opening ---- */

static vault_result execute_sign(rsa_job *job) { return vault_sign(job->pair_handle, job->first, job->output); }

static napi_value signature_of(rsa_job *job) {
  napi_value copy = NULL;
  napi_create_buffer_copy(job->realm->env, VAULT_SIGNATURE_BYTES, job->output, NULL, &copy);
  return copy;
}

static const job_kind SIGN = {"feldfon:sign", execute_sign, signature_of, false, 0};

/* (pair, message) => promise of a signature */
static napi_value sign(napi_env env, napi_callback_info info) {
  skin_call c;
  vault_record *pair;
  vault_bytes message;
  if (!call_begin(env, info, 2, &c) || !take_record(&c, 0, &pair) || !take_bytes(&c, 1, &message)) return NULL;
  return begin(&c, &SIGN, c.arguments[0], pair, message, NOTHING);
}

static vault_result execute_unwrap(rsa_job *job) {
  return vault_unwrap(job->pair_handle, job->first, job->second, &job->made);
}

static napi_value secret_of(rsa_job *job) { return slot_make(job->realm, job->made, VAULT_DERIVE); }

static const job_kind UNWRAP = {"feldfon:unwrap", execute_unwrap, secret_of, true, 1};

/* (pair, label, wrapped) => promise of a slot */
static napi_value unwrap(napi_env env, napi_callback_info info) {
  skin_call c;
  vault_record *pair;
  vault_bytes label, wrapped;
  if (!call_begin(env, info, 3, &c) || !take_record(&c, 0, &pair) || !take_bytes(&c, 1, &label) ||
      !take_bytes(&c, 2, &wrapped)) {
    return NULL;
  }
  return begin(&c, &UNWRAP, c.arguments[0], pair, label, wrapped);
}

const skin_function key_pair_functions[] = {
    {"makeKeyPair", make_key_pair},
    {"loadKeyPair", load_key_pair},
    {"saveKeyPair", save_key_pair},
    {"loadSealed", load_sealed},
    {"saveSealed", save_sealed},
    {"changePin", change_pin},
    {"setDuressPin", set_duress_pin},
    {"sign", sign},
    {"unwrap", unwrap},
    {NULL, NULL},
};
