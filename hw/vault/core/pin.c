/*
 * A PIN, digit by digit: a slot that no other operation takes.
 *
 *     slot     | typed: digits 12, count | kept: the first entry, while it is typed once more |
 */
#include "pin.h"

#include <openssl/crypto.h>
#include <string.h>

#include "slots.h"
#include "stack.h"

typedef struct pin_content {
  pin_entry typed;
  pin_entry kept;
} pin_content;

typedef struct pin_call {
  vault_handle *made;
  vault_handle pin;
  uint32_t digit;
  uint32_t *count;
  pin_entry *used;
} pin_call;

static vault_result find_pin(vault_handle pin, pin_content **content) {
  struct slot *slot;
  vault_result result = slots_find_secret(pin, VAULT_PIN, 0, &slot);
  if (result != VAULT_OK) return result;
  if (slot->secret->length != sizeof **content) return VAULT_WRONG_USE;
  *content = (pin_content *)(void *)slot->secret->bytes; /* of bytes alone, so it may lie anywhere */
  return VAULT_OK;
}

static void forget(pin_entry *entry) {
  wipe_bytes(entry, sizeof *entry);
}

static vault_result new_on_stack(void *argument) {
  pin_call *call = argument;
  struct secret *secret = secret_new(sizeof(pin_content));
  if (!secret) return VAULT_NO_MEMORY;
  memset(secret->bytes, 0, secret->length);
  return slots_put_secret(VAULT_PIN, secret, call->made);
}

vault_result vault_new_pin(vault_handle *pin) {
  *pin = 0;
  return run_small(new_on_stack, &(pin_call){.made = pin});
}

static vault_result push_on_stack(void *argument) {
  pin_call *call = argument;
  pin_content *content;
  vault_result result = find_pin(call->pin, &content);
  if (result != VAULT_OK) return result;
  pin_entry *typed = &content->typed;
  if (typed->count < VAULT_PIN_DIGITS_MOST) typed->digits[typed->count++] = (uint8_t)('0' + call->digit);
  *call->count = typed->count;
  return VAULT_OK;
}

vault_result vault_pin_push(vault_handle pin, uint32_t digit, uint32_t *typed) {
  *typed = 0;
  if (digit > 9) return VAULT_BAD_DIGIT;
  return run_small(push_on_stack, &(pin_call){.pin = pin, .digit = digit, .count = typed});
}

static vault_result pop_on_stack(void *argument) {
  pin_call *call = argument;
  pin_content *content;
  vault_result result = find_pin(call->pin, &content);
  if (result != VAULT_OK) return result;
  pin_entry *typed = &content->typed;
  if (typed->count > 0) typed->digits[--typed->count] = 0;
  *call->count = typed->count;
  return VAULT_OK;
}

vault_result vault_pin_pop(vault_handle pin, uint32_t *typed) {
  *typed = 0;
  return run_small(pop_on_stack, &(pin_call){.pin = pin, .count = typed});
}

static vault_result count_on_stack(void *argument) {
  pin_call *call = argument;
  pin_content *content;
  vault_result result = find_pin(call->pin, &content);
  if (result == VAULT_OK) *call->count = content->typed.count;
  return result;
}

vault_result vault_pin_digits(vault_handle pin, uint32_t *typed) {
  *typed = 0;
  return run_small(count_on_stack, &(pin_call){.pin = pin, .count = typed});
}

static vault_result keep_on_stack(void *argument) {
  pin_call *call = argument;
  pin_content *content;
  vault_result result = find_pin(call->pin, &content);
  if (result != VAULT_OK) return result;
  content->kept = content->typed;
  forget(&content->typed);
  return VAULT_OK;
}

vault_result vault_pin_keep(vault_handle pin) {
  return run_small(keep_on_stack, &(pin_call){.pin = pin});
}

static vault_result match_on_stack(void *argument) {
  pin_call *call = argument;
  pin_content *content;
  vault_result result = find_pin(call->pin, &content);
  if (result != VAULT_OK) return result;
  uint32_t is_kept = content->kept.count > 0;
  *call->count = is_kept & (CRYPTO_memcmp(&content->kept, &content->typed, sizeof content->kept) == 0);
  forget(&content->kept);
  if (!*call->count) forget(&content->typed);
  return VAULT_OK;
}

vault_result vault_pin_matches_kept(vault_handle pin, int *matches) {
  uint32_t same = 0;
  vault_result result = run_small(match_on_stack, &(pin_call){.pin = pin, .count = &same});
  *matches = (int)same;
  return result;
}

static vault_result use_on_stack(void *argument) {
  pin_call *call = argument;
  pin_content *content;
  vault_result result = find_pin(call->pin, &content);
  if (result != VAULT_OK) return result;
  *call->used = content->typed;
  (void)slots_wipe(call->pin);
  return VAULT_OK;
}

vault_result pin_use_up(vault_handle pin, pin_entry *typed) {
  *typed = (pin_entry){.count = 0};
  vault_result result = run_small(use_on_stack, &(pin_call){.pin = pin, .used = typed});
  if (result != VAULT_OK) return result;
  return typed->count >= VAULT_PIN_DIGITS_LEAST ? VAULT_OK : VAULT_SHORT_PIN;
}
