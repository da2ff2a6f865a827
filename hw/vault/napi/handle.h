/*
 * How a voice key's handle looks from C: an object of JavaScript with this tag, around this struct. Another addon of
 * ours takes it apart with it and works through the table of the external (core/vault.h, "for our other addons"). Other
 * handles have no tag: nobody else has any business with them.
 *
 *     vault.voiceTable            external, tagged VAULT_TABLE_TAG   -> const vault_table *
 *     packet-seal, packet-open    object,   tagged VAULT_HANDLE_TAG  -> vault_handle_box *
 */
#ifndef FELDFON_VAULT_HANDLE_H
#define FELDFON_VAULT_HANDLE_H

#include <node_api.h>

#include "../core/vault.h"

static const napi_type_tag VAULT_HANDLE_TAG = {0x5f1c0d9a3b7e4286, 0x9a64e2c7f0183bd5};
static const napi_type_tag VAULT_TABLE_TAG = {0x27b8e6f4105d4ac9, 0x83d1f95b6c2a7e04};

typedef struct vault_handle_box {
  vault_handle handle;
} vault_handle_box;

#endif
