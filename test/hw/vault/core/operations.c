/* Every operation: published vectors, both ways, and everything it has to refuse. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "rsa.h"
#include "stack.h"

static const vault_use ALL_USES[] = {VAULT_DERIVE,      VAULT_STREAM_SEAL, VAULT_STREAM_OPEN, VAULT_PACKET_SEAL,
                                     VAULT_PACKET_OPEN, VAULT_MAC,         VAULT_WRAP};
enum { USES = sizeof ALL_USES / sizeof *ALL_USES };

static uint8_t spki[VAULT_SPKI_BYTES];
static vault_bytes own_spki = {spki, sizeof spki};

/* ---- published vectors ---- */

static void hmac_vectors(void) {
  open_vault(0);
  static const struct { const char *key, *message, *mac; } rfc4231[] = {
      {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
       "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
      {"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
       "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
  };
  for (size_t at = 0; at < 2; at++) {
    vault_handle slot = known_slot(VAULT_MAC, hex(rfc4231[at].key));
    uint8_t mac[VAULT_MAC_BYTES];
    GOOD(vault_mac(slot, hex(rfc4231[at].message), mac));
    CHECK(memcmp(mac, hex(rfc4231[at].mac).at, sizeof mac) == 0);
  }
  /* RFC 4231 case 6: a key longer than a block */
  uint8_t key[131], mac[VAULT_MAC_BYTES];
  memset(key, 0xaa, sizeof key);
  vault_handle slot = known_slot(VAULT_MAC, (vault_bytes){key, sizeof key});
  GOOD(vault_mac(slot, bytes_of("Test Using Larger Than Block-Size Key - Hash Key First"), mac));
  CHECK(memcmp(mac, hex("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54").at, sizeof mac) == 0);
}

static void hkdf_vectors(void) {
  open_vault(0);
  vault_handle material = known_slot(VAULT_DERIVE, hex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b")), derived;
  /* RFC 5869 A.1, A.3 */
  GOOD(vault_derive(VAULT_MAC, 42, &material, 1, hex("000102030405060708090a0b0c"), hex("f0f1f2f3f4f5f6f7f8f9"),
                    &derived));
  CHECK(holds(derived, hex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")));
  GOOD(vault_derive(VAULT_MAC, 42, &material, 1, NOTHING, NOTHING, &derived));
  CHECK(holds(derived, hex("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8")));
  /* the same key material, cut in two slots */
  vault_handle parts[] = {known_slot(VAULT_DERIVE, hex("0b0b0b0b0b")),
                          known_slot(VAULT_DERIVE, hex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"))};
  GOOD(vault_derive(VAULT_MAC, 42, parts, 2, NOTHING, NOTHING, &derived));
  CHECK(holds(derived, hex("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8")));
}

static void gcm_vector(void) {
  open_vault(0);
  /* McGrew and Viega, test case 16; under counter 0 the nonce is the iv */
  vault_bytes key = hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308 cafebabefacedbaddecaf888");
  vault_bytes clear = hex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6"
                          "b525b16aedf5aa0de657ba637b39");
  vault_bytes aad = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
  vault_bytes sealed = hex("522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056"
                           "828838c5f61e6393ba7a0abcc9f662 76fc6ece0f4e1768cddf8853bb2d551b");
  uint8_t out[128];
  GOOD(vault_seal(known_slot(VAULT_STREAM_SEAL, key), 0, aad, clear, out));
  CHECK(memcmp(out, sealed.at, sealed.length) == 0);
  GOOD(vault_open_sealed(known_slot(VAULT_STREAM_OPEN, key), 0, aad, sealed, out));
  CHECK(memcmp(out, clear.at, clear.length) == 0);
}

static void x25519_vector(void) {
  open_vault(0);
  /* RFC 7748 6.1 */
  uint8_t alice_key[VAULT_X25519_BYTES];
  vault_handle alice, shared;
  GOOD(vault_testing_import_ephemeral(VAULT_X25519,
                                      hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"), &alice,
                                      alice_key));
  CHECK(memcmp(alice_key, hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a").at, 32) == 0);
  GOOD(vault_agree(alice, hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"), &shared));
  CHECK(holds(shared, hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")));
}

/* ---- slots ---- */

/* What an operation says about this handle; bits of `uses` name the uses it serves. */
typedef vault_result (*attempt)(vault_handle handle);

static uint8_t room[2048];
static vault_handle made;

static vault_result try_wrap(vault_handle handle) {
  return vault_wrap(own_spki, NOTHING, handle, room);
}
static vault_result try_derive(vault_handle handle) {
  return vault_derive(VAULT_MAC, 32, &handle, 1, NOTHING, NOTHING, &made);
}
static vault_result try_rekey(vault_handle handle) {
  return vault_rekey(handle, NOTHING, NOTHING);
}
static vault_result try_seal(vault_handle handle) {
  return vault_seal(handle, 0, NOTHING, bytes_of("text"), room);
}
static vault_result try_open(vault_handle handle) {
  return vault_open_sealed(handle, 0, NOTHING, bytes_of("text"), room);
}
static vault_result try_sender(vault_handle handle) {
  return vault_srtp_sender(handle, &(vault_media_profile){.ssrc = 1});
}
static vault_result try_receiver(vault_handle handle) {
  return vault_srtp_receiver(handle, &(vault_media_profile){.ssrc = 1});
}
static vault_result try_srtp_seal(vault_handle handle) {
  return vault_srtp_seal(handle, bytes_of("text"), 0, room);
}
static vault_result try_srtp_open(vault_handle handle) {
  vault_refusal refusal;
  uint64_t index;
  uint32_t timestamp;
  return vault_srtp_open(handle, bytes_of("text"), &refusal, &index, &timestamp, room);
}
static vault_result try_mac(vault_handle handle) {
  return vault_mac(handle, NOTHING, room);
}
static vault_result try_mac_matches(vault_handle handle) {
  int holding;
  return vault_mac_matches(handle, NOTHING, NOTHING, &holding);
}
static vault_result try_agree(vault_handle handle) {
  return vault_agree(handle, NOTHING, &made);
}
static vault_result try_decapsulate(vault_handle handle) {
  return vault_decapsulate(handle, NOTHING, &made);
}
static vault_result try_sign(vault_handle handle) {
  return vault_sign(handle, NOTHING, room);
}
static vault_result try_unwrap(vault_handle handle) {
  return vault_unwrap(handle, NOTHING, NOTHING, &made);
}
static vault_result try_save(vault_handle handle) {
  return vault_save_key_pair(handle, "/nowhere/key.pem");
}

static const struct { attempt run; unsigned uses; } ON_SLOTS[] = {
    {try_wrap, 1 << VAULT_WRAP},
    {try_derive, 1 << VAULT_DERIVE},
    {try_rekey, 1 << VAULT_STREAM_SEAL | 1 << VAULT_STREAM_OPEN},
    {try_seal, 1 << VAULT_STREAM_SEAL | 1 << VAULT_PACKET_SEAL},
    {try_open, 1 << VAULT_STREAM_OPEN | 1 << VAULT_PACKET_OPEN},
    {try_sender, 1 << VAULT_PACKET_SEAL},
    {try_receiver, 1 << VAULT_PACKET_OPEN},
    {try_srtp_seal, 0}, /* only what voice has taken over */
    {try_srtp_open, 0},
    {try_mac, 1 << VAULT_MAC},
    {try_mac_matches, 1 << VAULT_MAC},
};
static const attempt ON_OTHERS[] = {try_agree, try_decapsulate, try_sign, try_unwrap, try_save};

static void slots_serve_their_use_only(void) {
  open_vault(0);
  for (size_t which = 0; which < sizeof ON_SLOTS / sizeof *ON_SLOTS; which++) {
    for (int at = 0; at < USES; at++) {
      vault_handle slot = fresh_slot(ALL_USES[at]);
      if (!(ON_SLOTS[which].uses & 1u << ALL_USES[at])) IS(ON_SLOTS[which].run(slot), VAULT_WRONG_USE);
      GOOD(vault_wipe(slot));
      IS(ON_SLOTS[which].run(slot), VAULT_EMPTY_SLOT);
    }
  }
}

static void refuse_everywhere(vault_handle handle, vault_result expected) {
  for (size_t at = 0; at < sizeof ON_SLOTS / sizeof *ON_SLOTS; at++) IS(ON_SLOTS[at].run(handle), expected);
  for (size_t at = 0; at < sizeof ON_OTHERS / sizeof *ON_OTHERS; at++) IS(ON_OTHERS[at](handle), expected);
}

static void handles_that_were_never_given_out(void) {
  open_vault(0);
  vault_handle slot = fresh_slot(VAULT_DERIVE);
  const vault_handle strange[] = {0,           1,           slot + 1,          slot ^ 1ull << 32,
                                  slot ^ 3ull << 32, slot | 8ull << 32, slot + (1ull << 36), UINT64_MAX,
                                  slot ^ 1ull << 63};
  for (size_t at = 0; at < sizeof strange / sizeof *strange; at++) {
    refuse_everywhere(strange[at], VAULT_NO_SUCH_SLOT);
    IS(vault_wipe(strange[at]), strange[at] == 0 ? VAULT_OK : VAULT_NO_SUCH_SLOT);
  }
  GOOD(vault_derive(VAULT_MAC, 32, &slot, 1, NOTHING, NOTHING, &made));
}

static void handles_of_another_kind(void) {
  open_vault(0);
  vault_handle pair = load_pair(0, spki), ephemeral, slot = fresh_slot(VAULT_MAC);
  GOOD(vault_make_ephemeral(VAULT_X25519, &ephemeral, room));
  for (size_t at = 0; at < sizeof ON_SLOTS / sizeof *ON_SLOTS; at++) {
    IS(ON_SLOTS[at].run(pair), VAULT_NO_SUCH_SLOT);
    IS(ON_SLOTS[at].run(ephemeral), VAULT_NO_SUCH_SLOT);
  }
  IS(try_agree(pair), VAULT_NO_SUCH_SLOT);
  IS(try_agree(slot), VAULT_NO_SUCH_SLOT);
  IS(try_sign(ephemeral), VAULT_NO_SUCH_SLOT);
  IS(try_sign(slot), VAULT_NO_SUCH_SLOT);
  IS(try_decapsulate(ephemeral), VAULT_WRONG_USE); /* and it is still there */
  IS(try_agree(ephemeral), VAULT_BAD_POINT);
  IS(try_agree(ephemeral), VAULT_EMPTY_SLOT);
}

static void stale_handles_stay_empty(void) {
  open_vault(0);
  vault_handle first = fresh_slot(VAULT_MAC), now = first;
  for (int reuse = 0; reuse < 100; reuse++) {
    GOOD(vault_wipe(now));
    now = fresh_slot(reuse % 2 ? VAULT_MAC : VAULT_DERIVE);
    CHECK(now != first);
    IS(try_mac(first), VAULT_EMPTY_SLOT);
    GOOD(vault_wipe(first)); /* harmless, and nobody else's slot goes */
    vault_status status;
    vault_get_status(&status);
    CHECK(status.slots_in_use == 1);
  }
}

static void full_vault(void) {
  GOOD(vault_open(&(vault_options){.slots_max = 5}));
  vault_handle wrap, derive, other, pair = load_pair(0, spki);
  uint8_t wrapped[VAULT_WRAP_BYTES];
  vault_bytes blob = {wrapped, sizeof wrapped};
  GOOD(vault_new_secret(&wrap, &derive));
  GOOD(vault_wrap(own_spki, NOTHING, wrap, wrapped));
  GOOD(vault_make_ephemeral(VAULT_ML_KEM_768, &other, room));
  vault_bytes kem = {room, VAULT_ENCAPSULATION_KEY_BYTES};
  (void)fresh_slot(VAULT_MAC);
  vault_handle a, b;
  IS(vault_new_secret(&a, &b), VAULT_FULL); /* two are asked for, one is free */
  vault_status status;
  vault_get_status(&status);
  CHECK(status.slots_in_use == 4 && status.slots_max == 5 && status.key_pairs == 1);
  GOOD(vault_derive(VAULT_MAC, 32, &derive, 1, NOTHING, NOTHING, &a));
  IS(vault_derive(VAULT_MAC, 32, &derive, 1, NOTHING, NOTHING, &b), VAULT_FULL);
  IS(vault_make_ephemeral(VAULT_X25519, &b, room + 1500), VAULT_FULL);
  uint8_t ciphertext[VAULT_CIPHERTEXT_BYTES];
  IS(vault_encapsulate(kem, ciphertext, &b), VAULT_FULL);
  IS(vault_unwrap(pair, NOTHING, blob, &b), VAULT_FULL); /* good and bad alike */
  wrapped[0] ^= 1;
  IS(vault_unwrap(pair, NOTHING, blob, &b), VAULT_FULL);
  wrapped[0] ^= 1;
  GOOD(vault_wipe(a));
  GOOD(vault_unwrap(pair, NOTHING, blob, &b));
}

static void wipe_all_leaves_nothing(void) {
  open_vault(0);
  vault_handle pair = load_pair(0, spki), slot = fresh_slot(VAULT_MAC), voice = fresh_slot(VAULT_PACKET_SEAL), kem;
  GOOD(vault_make_ephemeral(VAULT_ML_KEM_768, &kem, room));
  GOOD(try_sender(voice));
  vault_wipe_all();
  vault_status status;
  vault_get_status(&status);
  CHECK(status.slots_in_use == 0 && status.key_pairs == 0);
  IS(try_mac(slot), VAULT_EMPTY_SLOT);
  IS(try_srtp_seal(voice), VAULT_EMPTY_SLOT);
  IS(try_decapsulate(kem), VAULT_EMPTY_SLOT);
  IS(try_sign(pair), VAULT_EMPTY_SLOT);
  GOOD(try_mac(fresh_slot(VAULT_MAC)));
}

/* ---- sealing ---- */

static void counters(void) {
  open_vault(0);
  vault_bytes text = bytes_of("what is said");
  vault_bytes key = hex("00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0123456789abcdef01234567");
  uint8_t sealed[3][64], out[64];
  vault_handle stream = known_slot(VAULT_STREAM_SEAL, key), opening = known_slot(VAULT_STREAM_OPEN, key);
  IS(vault_seal(stream, 1, NOTHING, text, out), VAULT_COUNTER);
  for (uint64_t counter = 0; counter < 3; counter++) GOOD(vault_seal(stream, counter, NOTHING, text, sealed[counter]));
  IS(vault_seal(stream, 2, NOTHING, text, out), VAULT_COUNTER);
  IS(vault_seal(stream, 4, NOTHING, text, out), VAULT_COUNTER);
  IS(vault_open_sealed(opening, 1, NOTHING, (vault_bytes){sealed[1], text.length + 16}, out), VAULT_COUNTER);
  IS(vault_open_sealed(opening, 0, NOTHING, (vault_bytes){sealed[1], text.length + 16}, out), VAULT_FORGED);
  GOOD(vault_open_sealed(opening, 0, NOTHING, (vault_bytes){sealed[0], text.length + 16}, out));
  IS(vault_open_sealed(opening, 0, NOTHING, (vault_bytes){sealed[0], text.length + 16}, out), VAULT_COUNTER);

  vault_handle packet = known_slot(VAULT_PACKET_SEAL, key);
  const uint64_t rising[] = {3, 7, 8, 255, 256, (1ull << 32) - 1, 1ull << 32, (1ull << 53) - 1};
  for (size_t at = 0; at < 8; at++) {
    GOOD(vault_seal(packet, rising[at], NOTHING, text, out));
    IS(vault_seal(packet, rising[at], NOTHING, text, out), VAULT_COUNTER);
    IS(vault_seal(packet, 0, NOTHING, text, out), VAULT_COUNTER);
  }
  IS(vault_seal(packet, 1ull << 53, NOTHING, text, out), VAULT_COUNTER);
  IS(vault_seal(packet, UINT64_MAX, NOTHING, text, out), VAULT_COUNTER);
}

static void forgeries(void) {
  open_vault(0);
  vault_bytes text = bytes_of("what is said"), aad = bytes_of("length and counter");
  vault_bytes key = hex("00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0123456789abcdef01234567");
  uint8_t sealed[64], out[64];
  size_t length = text.length + VAULT_TAG_BYTES;
  GOOD(vault_seal(known_slot(VAULT_PACKET_SEAL, key), 0, aad, text, sealed));
  vault_handle opening = known_slot(VAULT_PACKET_OPEN, key);
  for (size_t at = 0; at < length; at++) {
    sealed[at] ^= 0x80;
    memset(out, 0x55, sizeof out);
    IS(vault_open_sealed(opening, 0, aad, (vault_bytes){sealed, length}, out), VAULT_FORGED);
    for (size_t byte = 0; byte < text.length; byte++) CHECK(out[byte] == 0);
    CHECK(out[text.length] == 0x55);
    sealed[at] ^= 0x80;
  }
  for (size_t bytes = 0; bytes < length; bytes++) {
    IS(vault_open_sealed(opening, 0, aad, (vault_bytes){sealed, bytes}, out), VAULT_FORGED);
  }
  IS(vault_open_sealed(opening, 5, aad, (vault_bytes){sealed, length}, out), VAULT_FORGED);
  IS(vault_open_sealed(opening, 0, text, (vault_bytes){sealed, length}, out), VAULT_FORGED);
  GOOD(vault_open_sealed(opening, 0, aad, (vault_bytes){sealed, length}, sealed)); /* in place */
  CHECK(memcmp(sealed, text.at, text.length) == 0);
}

/* More slots than ciphers are kept: each is made again when its turn comes. */
static void many_keys(void) {
  open_vault(0);
  enum { PAIRS = 700 };
  static vault_handle sealing[PAIRS], opening[PAIRS];
  for (int at = 0; at < PAIRS; at++) {
    vault_handle material = fresh_slot(VAULT_DERIVE);
    GOOD(vault_derive(VAULT_STREAM_SEAL, 44, &material, 1, NOTHING, NOTHING, &sealing[at]));
    GOOD(vault_derive(VAULT_STREAM_OPEN, 44, &material, 1, NOTHING, NOTHING, &opening[at]));
    GOOD(vault_wipe(material));
  }
  uint8_t sealed[64], out[64];
  for (uint64_t counter = 0; counter < 4; counter++) {
    for (int at = 0; at < PAIRS; at++) {
      GOOD(vault_seal(sealing[at], counter, NOTHING, bytes_of("text"), sealed));
      GOOD(vault_open_sealed(opening[at], counter, NOTHING, (vault_bytes){sealed, 20}, out));
      CHECK(memcmp(out, "text", 4) == 0);
      if (counter % 2) GOOD(vault_rekey(sealing[at], NOTHING, NOTHING));
      if (counter % 2) GOOD(vault_rekey(opening[at], NOTHING, NOTHING));
    }
  }
}

static void rekeying(void) {
  open_vault(0);
  vault_bytes key = hex("00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff0123456789abcdef01234567");
  vault_handle sealing = known_slot(VAULT_STREAM_SEAL, key), opening = known_slot(VAULT_STREAM_OPEN, key);
  vault_handle material = known_slot(VAULT_DERIVE, key), next;
  uint8_t sealed[64], out[64], bytes[44];
  size_t length = sizeof bytes;
  GOOD(vault_seal(sealing, 0, NOTHING, bytes_of("text"), sealed));
  GOOD(vault_rekey(sealing, bytes_of("salt"), bytes_of("info")));
  GOOD(vault_derive(VAULT_MAC, 44, &material, 1, bytes_of("salt"), bytes_of("info"), &next));
  GOOD(vault_testing_reveal(next, bytes, &length));
  CHECK(holds(sealing, (vault_bytes){bytes, sizeof bytes}));
  GOOD(vault_open_sealed(opening, 0, NOTHING, (vault_bytes){sealed, 20}, out));
  IS(vault_seal(sealing, 0, NOTHING, bytes_of("text"), sealed), VAULT_COUNTER);
  GOOD(vault_seal(sealing, 1, NOTHING, bytes_of("text"), sealed));
  IS(vault_open_sealed(opening, 1, NOTHING, (vault_bytes){sealed, 20}, out), VAULT_FORGED);
  vault_handle anew = known_slot(VAULT_PACKET_OPEN, (vault_bytes){bytes, sizeof bytes});
  GOOD(vault_open_sealed(anew, 1, NOTHING, (vault_bytes){sealed, 20}, out)); /* key and iv are the next ones */
  GOOD(vault_rekey(opening, bytes_of("salt"), bytes_of("info")));
  GOOD(vault_open_sealed(opening, 1, NOTHING, (vault_bytes){sealed, 20}, out));
}

static void derivations_refused(void) {
  open_vault(0);
  vault_handle slot = fresh_slot(VAULT_DERIVE);
  const size_t lengths[] = {0, 8161, SIZE_MAX};
  for (int at = 0; at < 3; at++) {
    IS(vault_derive(VAULT_DERIVE, lengths[at], &slot, 1, NOTHING, NOTHING, &made), VAULT_WRONG_LENGTH);
  }
  for (vault_use use = VAULT_STREAM_SEAL; use <= VAULT_PACKET_OPEN; use++) {
    IS(vault_derive(use, 43, &slot, 1, NOTHING, NOTHING, &made), VAULT_WRONG_LENGTH);
    IS(vault_derive(use, 45, &slot, 1, NOTHING, NOTHING, &made), VAULT_WRONG_LENGTH);
  }
  IS(vault_derive(VAULT_MAC, 32, &slot, 0, NOTHING, NOTHING, &made), VAULT_WRONG_USE);
  IS(vault_derive(VAULT_WRAP, 48, &slot, 1, NOTHING, NOTHING, &made), VAULT_WRONG_USE);
  IS(vault_derive((vault_use)0, 32, &slot, 1, NOTHING, NOTHING, &made), VAULT_WRONG_USE);
  IS(vault_derive((vault_use)99, 32, &slot, 1, NOTHING, NOTHING, &made), VAULT_WRONG_USE);
  GOOD(vault_derive(VAULT_DERIVE, 8160, &slot, 1, NOTHING, NOTHING, &made));
}

static void macs_compared(void) {
  open_vault(0);
  vault_handle slot = fresh_slot(VAULT_MAC);
  uint8_t tag[33] = {0};
  int holding;
  GOOD(vault_mac(slot, bytes_of("text"), tag));
  for (size_t bytes = 0; bytes <= 33; bytes++) {
    GOOD(vault_mac_matches(slot, bytes_of("text"), (vault_bytes){tag, bytes}, &holding));
    CHECK(holding == (bytes >= 16 && bytes <= 32));
  }
  for (int at = 0; at < 32; at++) {
    tag[at] ^= 1;
    GOOD(vault_mac_matches(slot, bytes_of("text"), (vault_bytes){tag, 32}, &holding));
    CHECK(!holding);
    tag[at] ^= 1;
  }
}

/* ---- agreement ---- */

static void agreements_meet(void) {
  open_vault(0);
  vault_handle a, b, kem, left, right, sent, opened;
  uint8_t a_key[32], b_key[32], kem_key[VAULT_ENCAPSULATION_KEY_BYTES], ciphertext[VAULT_CIPHERTEXT_BYTES], bytes[32];
  size_t length = sizeof bytes;
  GOOD(vault_make_ephemeral(VAULT_X25519, &a, a_key));
  GOOD(vault_make_ephemeral(VAULT_X25519, &b, b_key));
  GOOD(vault_agree(a, (vault_bytes){b_key, 32}, &left));
  GOOD(vault_agree(b, (vault_bytes){a_key, 32}, &right));
  GOOD(vault_testing_reveal(left, bytes, &length));
  CHECK(holds(right, (vault_bytes){bytes, 32}));
  GOOD(vault_make_ephemeral(VAULT_ML_KEM_768, &kem, kem_key));
  GOOD(vault_encapsulate((vault_bytes){kem_key, sizeof kem_key}, ciphertext, &sent));
  GOOD(vault_decapsulate(kem, (vault_bytes){ciphertext, sizeof ciphertext}, &opened));
  GOOD(vault_testing_reveal(sent, bytes, &length));
  CHECK(holds(opened, (vault_bytes){bytes, 32}));
  IS(vault_decapsulate(kem, (vault_bytes){ciphertext, sizeof ciphertext}, &opened), VAULT_EMPTY_SLOT);
}

static void points_refused(void) {
  open_vault(0);
  const char *low_order[] = {"0000000000000000000000000000000000000000000000000000000000000000",
                             "0100000000000000000000000000000000000000000000000000000000000000",
                             "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                             "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
                             "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
                             "",
                             "09",
                             "090000000000000000000000000000000000000000000000000000000000000000"};
  for (size_t at = 0; at < sizeof low_order / sizeof *low_order; at++) {
    vault_handle own;
    GOOD(vault_make_ephemeral(VAULT_X25519, &own, room));
    IS(vault_agree(own, hex(low_order[at]), &made), VAULT_BAD_POINT);
    CHECK(made == 0);
    IS(vault_agree(own, hex(low_order[at]), &made), VAULT_EMPTY_SLOT);
  }
  IS(vault_make_ephemeral((vault_algorithm)3, &made, room), VAULT_WRONG_USE);
}

static void kem_keys_refused(void) {
  open_vault(0);
  vault_handle own;
  uint8_t key[VAULT_ENCAPSULATION_KEY_BYTES], ciphertext[VAULT_CIPHERTEXT_BYTES];
  GOOD(vault_make_ephemeral(VAULT_ML_KEM_768, &own, key));
  const size_t lengths[] = {0, 1183, 800};
  for (int at = 0; at < 3; at++) {
    IS(vault_encapsulate((vault_bytes){key, lengths[at]}, ciphertext, &made), VAULT_BAD_ENCAPSULATION_KEY);
  }
  for (size_t at = 0; at < 768 / 2 * 3; at += 3) { /* two coefficients of 12 bits in three bytes; 3329 is too much */
    uint8_t kept[3];
    memcpy(kept, key + at, 3);
    key[at] = 0x01;
    key[at + 1] = (uint8_t)((kept[1] & 0xf0) | 0x0d);
    IS(vault_encapsulate((vault_bytes){key, sizeof key}, ciphertext, &made), VAULT_BAD_ENCAPSULATION_KEY);
    memcpy(key + at, kept, 3);
  }
  GOOD(vault_encapsulate((vault_bytes){key, sizeof key}, ciphertext, &made));
  IS(vault_decapsulate(own, (vault_bytes){ciphertext, 1087}, &made), VAULT_BAD_CIPHERTEXT);
  IS(vault_decapsulate(own, (vault_bytes){ciphertext, 1088}, &made), VAULT_EMPTY_SLOT);
}

/* ---- key pairs ---- */

static void signatures_hold(void) {
  open_vault(0);
  uint8_t other_spki[VAULT_SPKI_BYTES], bytes[VAULT_SIGNATURE_BYTES + 1] = {0};
  vault_handle pair = load_pair(0, spki);
  (void)load_pair(1, other_spki);
  vault_bytes text = bytes_of("feldfon/1 test"), signature = {bytes, VAULT_SIGNATURE_BYTES};
  vault_bytes other = {other_spki, sizeof other_spki};
  int holds;
  GOOD(vault_sign(pair, text, bytes));
  for (int again = 0; again < 2; again++) { /* the second time with the keys that were kept */
    GOOD(vault_verify(own_spki, text, signature, &holds));
    CHECK(holds);
    GOOD(vault_verify(other, text, signature, &holds));
    CHECK(!holds);
  }
  GOOD(vault_verify(own_spki, bytes_of("feldfon/1 tesT"), signature, &holds));
  CHECK(!holds);
  for (size_t length = 0; length <= sizeof bytes; length += length < 511 ? 511 : 1) {
    GOOD(vault_verify(own_spki, text, (vault_bytes){bytes, length}, &holds));
    CHECK(holds == (length == VAULT_SIGNATURE_BYTES));
  }
  for (int at = 0; at < VAULT_SIGNATURE_BYTES; at += 73) {
    bytes[at] ^= 1;
    GOOD(vault_verify(own_spki, text, signature, &holds));
    CHECK(!holds);
    bytes[at] ^= 1;
  }
  IS(vault_verify((vault_bytes){spki, VAULT_SPKI_BYTES - 1}, text, signature, &holds), VAULT_BAD_KEY);
  spki[VAULT_SPKI_BYTES - 1] ^= 2; /* another exponent */
  IS(vault_verify(own_spki, text, signature, &holds), VAULT_BAD_KEY);
  CHECK(!holds);
}

static void secrets_pass(void) {
  open_vault(0);
  uint8_t other_spki[VAULT_SPKI_BYTES], wrapped[VAULT_WRAP_BYTES], bytes[48];
  vault_handle pair = load_pair(0, spki), other = load_pair(1, other_spki), wrap, derive, opened;
  vault_bytes blob = {wrapped, sizeof wrapped}, label = bytes_of("feldfon/1 test");
  size_t length = sizeof bytes;
  GOOD(vault_new_secret(&wrap, &derive));
  GOOD(vault_testing_reveal(derive, bytes, &length));
  CHECK(length == VAULT_SECRET_BYTES && holds(wrap, (vault_bytes){bytes, 48}));
  for (int again = 0; again < 2; again++) { /* the second time with the key that was kept */
    GOOD(vault_wrap(own_spki, label, wrap, wrapped));
    GOOD(vault_unwrap(pair, label, blob, &opened));
    CHECK(holds(opened, (vault_bytes){bytes, 48}));
  }
  vault_handle clear;
  GOOD(vault_testing_open_oaep(pair, label, blob, &clear));
  uint8_t whole[60];
  memcpy(whole, "+++secret+++", 12);
  memcpy(whole + 12, bytes, 48);
  CHECK(holds(clear, (vault_bytes){whole, 60}));

  IS(vault_unwrap(other, label, blob, &opened), VAULT_UNWRAP);
  IS(vault_unwrap(pair, bytes_of("feldfon/1 other"), blob, &opened), VAULT_UNWRAP);
  IS(vault_unwrap(pair, NOTHING, blob, &opened), VAULT_UNWRAP);
  IS(vault_unwrap(pair, label, NOTHING, &opened), VAULT_UNWRAP);
  IS(vault_unwrap(pair, label, (vault_bytes){wrapped, 511}, &opened), VAULT_UNWRAP);
  for (int at = 0; at < 512; at += 73) {
    wrapped[at] ^= 1;
    IS(vault_unwrap(pair, label, blob, &opened), VAULT_UNWRAP);
    wrapped[at] ^= 1;
  }
  memset(wrapped, 0, sizeof wrapped);
  IS(vault_unwrap(pair, label, blob, &opened), VAULT_UNWRAP);
  memset(wrapped, 0xff, sizeof wrapped);
  IS(vault_unwrap(pair, label, blob, &opened), VAULT_UNWRAP);
  CHECK(opened == 0);
}

typedef struct clear_text {
  vault_bytes clear;
  EVP_PKEY *pkey;
  uint8_t *wrapped;
} clear_text;

static vault_result encrypt(void *argument) {
  clear_text *text = argument;
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, text->pkey, NULL);
  size_t length = VAULT_WRAP_BYTES;
  CHECK(oaep_begin(context, NOTHING, EVP_PKEY_encrypt_init_ex));
  CHECK(EVP_PKEY_encrypt(context, text->wrapped, &length, text->clear.at, text->clear.length) > 0);
  EVP_PKEY_CTX_free(context);
  EVP_PKEY_free(text->pkey);
  return VAULT_OK;
}

static void other_contents_refused(void) {
  open_vault(0);
  vault_handle pair = load_pair(0, spki), secret;
  uint8_t clear[64] = "+++secret+++", wrapped[VAULT_WRAP_BYTES];
  const struct { size_t length; int changed; vault_result expected; } contents[] = {
      {60, 63, VAULT_OK},    {59, 63, VAULT_UNWRAP}, {61, 63, VAULT_UNWRAP}, {12, 63, VAULT_UNWRAP},
      {0, 63, VAULT_UNWRAP}, {60, 0, VAULT_UNWRAP},  {60, 5, VAULT_UNWRAP},  {60, 11, VAULT_UNWRAP}};
  for (size_t at = 0; at < sizeof contents / sizeof *contents; at++) {
    clear_text text = {.clear = {clear, contents[at].length}, .wrapped = wrapped};
    GOOD(borrow_key_pair(pair, &text.pkey));
    clear[contents[at].changed] ^= 1;
    GOOD(run_long(encrypt, &text));
    clear[contents[at].changed] ^= 1;
    IS(vault_unwrap(pair, NOTHING, (vault_bytes){wrapped, sizeof wrapped}, &secret), contents[at].expected);
  }
}

static void public_keys_refused(void) {
  open_vault(0);
  (void)load_pair(0, spki);
  vault_handle wrap = fresh_slot(VAULT_WRAP);
  uint8_t changed[VAULT_SPKI_BYTES], wrapped[VAULT_WRAP_BYTES];
  const int places[] = {0, 3, 12, 32, 33, 544, 545, 549}; /* head, first bit of the modulus, its last, exponent */
  for (size_t at = 0; at < sizeof places / sizeof *places; at++) {
    memcpy(changed, spki, sizeof changed);
    changed[places[at]] ^= places[at] == 33 ? 0x80 : 1;
    IS(vault_wrap((vault_bytes){changed, sizeof changed}, NOTHING, wrap, wrapped), VAULT_BAD_KEY);
  }
  IS(vault_wrap((vault_bytes){spki, 549}, NOTHING, wrap, wrapped), VAULT_BAD_KEY);
  IS(vault_wrap(NOTHING, NOTHING, wrap, wrapped), VAULT_BAD_KEY);
  GOOD(vault_wrap(own_spki, NOTHING, wrap, wrapped));
}

static void pairs_are_made_saved_and_found_again(void) {
  open_vault(0);
  char folder[] = "/tmp/feldfon-core-XXXXXX", path[64];
  CHECK(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/key.pem", folder);
  uint8_t loaded_spki[VAULT_SPKI_BYTES], signature[VAULT_SIGNATURE_BYTES];
  vault_handle pair, loaded;
  GOOD(vault_make_key_pair(&pair, spki));
  IS(vault_load_key_pair(path, &loaded, loaded_spki), VAULT_NO_KEY);
  GOOD(vault_save_key_pair(pair, path));
  struct stat about;
  CHECK(stat(path, &about) == 0 && (about.st_mode & 0777) == 0600);
  GOOD(vault_load_key_pair(path, &loaded, loaded_spki));
  CHECK(memcmp(spki, loaded_spki, sizeof spki) == 0);
  GOOD(vault_sign(loaded, bytes_of("text"), signature));
  CHECK(chmod(path, 0640) == 0);
  IS(vault_load_key_pair(path, &loaded, loaded_spki), VAULT_KEY_FILE_OPEN);
  CHECK(chmod(path, 0600) == 0 && truncate(path, about.st_size / 2) == 0);
  IS(vault_load_key_pair(path, &loaded, loaded_spki), VAULT_BAD_KEY);
  CHECK(unlink(path) == 0);
  IS(vault_load_key_pair(folder, &loaded, loaded_spki), VAULT_BAD_KEY);
  CHECK(mkfifo(path, 0600) == 0);
  IS(vault_load_key_pair(path, &loaded, loaded_spki), VAULT_BAD_KEY);
  CHECK(unlink(path) == 0 && mkdir(path, 0700) == 0);
  IS(vault_save_key_pair(pair, path), VAULT_FILE); /* no rename onto a folder */
  CHECK(rmdir(path) == 0 && rmdir(folder) == 0);   /* and nothing was left beside it */
  IS(vault_save_key_pair(pair, path), VAULT_FILE);
}

static void key_pairs_come_to_an_end(void) {
  open_vault(0);
  vault_handle pair;
  int pairs = 0;
  vault_result result;
  while ((result = vault_load_key_pair(key_files[0], &pair, spki)) == VAULT_OK) pairs++;
  CHECK(result == VAULT_FULL || result == VAULT_NO_MEMORY);
  CHECK(pairs > 100 && pairs <= VAULT_KEY_PAIRS_MAX);
  vault_wipe_all();
  GOOD(vault_load_key_pair(key_files[0], &pair, spki));
}

static void words(void) {
  for (int result = VAULT_OK; result <= VAULT_INTERNAL; result++) CHECK(strlen(vault_word((vault_result)result)) > 1);
  CHECK(strcmp(vault_word((vault_result)999), "internal") == 0);
  const vault_table *table = vault_get_table();
  CHECK(table->version == VAULT_TABLE_VERSION && table->bytes == sizeof *table);
  CHECK(table->seal == vault_seal && table->open == vault_open_sealed && table->wipe == vault_wipe);
}

const test operation_tests[] = {
    {"HMAC-SHA-256 as RFC 4231 has it", hmac_vectors},
    {"HKDF-SHA-256 as RFC 5869 has it, over joined slots", hkdf_vectors},
    {"AES-256-GCM as its authors have it", gcm_vector},
    {"X25519 as RFC 7748 has it", x25519_vector},
    {"slots serve their own use and nothing when wiped", slots_serve_their_use_only},
    {"handles that were never given out are told from wiped ones", handles_that_were_never_given_out},
    {"handles of another kind serve nothing", handles_of_another_kind},
    {"stale handles stay empty when their place is used again", stale_handles_stay_empty},
    {"a full vault says so, the same for good and bad", full_vault},
    {"wiping all leaves nothing", wipe_all_leaves_nothing},
    {"counters: a stream has no gaps, a packet's only rises", counters},
    {"forgeries are refused and leave zeros", forgeries},
    {"more keys than ciphers are kept", many_keys},
    {"a rekey goes on counting", rekeying},
    {"derivations without a length, use or material are refused", derivations_refused},
    {"MACs are compared from 16 bytes on", macs_compared},
    {"agreements meet, once", agreements_meet},
    {"points that lead to zero are refused", points_refused},
    {"encapsulation keys above the prime are refused", kem_keys_refused},
    {"signatures hold for their key and text only", signatures_hold},
    {"wrapped secrets open for their key and label only", secrets_pass},
    {"what opens as anything else than +++secret+++ and 48 bytes is refused", other_contents_refused},
    {"public keys have one form", public_keys_refused},
    {"key pairs are made, saved and found again", pairs_are_made_saved_and_found_again},
    {"key pairs come to an end", key_pairs_come_to_an_end},
    {"every result has a word", words},
    {0},
};
