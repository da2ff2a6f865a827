/*
 * Finds secrets in the memory of other processes and in core files. Told on standard input what to look for, so that
 * needles stand in no command line; answers each scan with one line of JSON.
 *
 *     needle NAME LEAST HEX      LEAST: equal bytes that make a hit, 12 at least
 *     modulus NAME HEX           4,096 bits, for the algebraic pass
 *     process PID NAME           NAME of a modulus, or "-"
 *     core PATH NAME
 *     file PATH NAME
 *
 *     memory   | .. | .. | .. | .. | .. |      every 4th byte: 8 bytes --bitmap--> hash table --> needle, offset
 *     needle        | every 8 bytes at every offset |              then both sides are compared on, byte by byte
 *
 * The algebraic pass knows nothing but N = p q: each 256 bytes v at each 8th address, and 2^4096 - v, are multiplied up
 * modulo N, and gcd(product, N) tells whether p or q divides one: v is a prime, or 2^4096 mod a prime (Montgomery's
 * R^2). Left out is what no random number of 2,048 bits looks like (chances below 2^-48), 4 KiB seen before, and pages
 * of files that nobody has changed.
 *
 * A process should be stopped while it is scanned. Pages that are not there are not read; what can't be read is listed.
 */
#include <ctype.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/bn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
  WINDOW_BYTES = 8,
  STRIDE_BYTES = 4, /* 12 equal bytes hold 8 that begin at a multiple of 4 */
  LEAST_EQUAL_BYTES = 12,
  BEFORE_BYTES = 64,
  CHUNK_BYTES = 1 << 22,
  AFTER_BYTES = 1 << 14,
  LINE_BYTES = 1 << 17,
  NAME_BYTES = 64,
  BITMAP_BITS = 25,
  NEEDLES_MAX = 1 << 16,
  MODULI_MAX = 8,
  PRIME_BYTES = 256,
  LIMBS = PRIME_BYTES / 8,
  STEP_BYTES = 4096,
  BATCH = 4096,
  SEEN_BITS = 22,
  PLACES_MAX = 512,
  FOUND_MAX = 512
};

_Static_assert(CHUNK_BYTES % STEP_BYTES == 0 && AFTER_BYTES >= PRIME_BYTES, "an algebraic step reads behind its end");

static void fail(const char *what) {
  fprintf(stderr, "scan: %s\n", what);
  exit(2);
}

static void *zeroed(size_t count, size_t bytes) {
  void *made = calloc(count, bytes);
  if (!made) fail("out of memory");
  return made;
}

static uint64_t word_at(const uint8_t *at) {
  uint64_t word;
  memcpy(&word, at, sizeof word);
  return word;
}

static uint64_t mixed(uint64_t word) {
  word *= 0x9e3779b97f4a7c15u;
  return word ^ word >> 29;
}

/* ---- what is looked for ---- */

typedef struct needle {
  char name[NAME_BYTES];
  uint8_t *bytes;
  size_t length;
  size_t least;
  uint64_t anchor; /* of the last hit: where in memory the needle would begin, and where the equal bytes end */
  uint64_t end;
} needle;

typedef struct window {
  uint32_t needle; /* number + 1; 0: free */
  uint32_t offset;
} window;

static needle needles[NEEDLES_MAX];
static uint32_t needle_count;
static uint64_t bitmap[(1u << BITMAP_BITS) / 64];
static window *windows; /* open addressing */
static size_t window_places, window_count;

typedef struct modulus {
  char name[NAME_BYTES];
  BIGNUM *n;
  BIGNUM *complement; /* 2^4096 - n */
  BN_MONT_CTX *mont;
  uint64_t *seen; /* hashes of what was multiplied up before without a find */
} modulus;

static modulus moduli[MODULI_MAX];
static size_t modulus_count;
static BN_CTX *scratch;

static void place_window(uint32_t number, uint32_t offset) {
  uint64_t hash = mixed(word_at(needles[number].bytes + offset));
  bitmap[(hash & ((1u << BITMAP_BITS) - 1)) / 64] |= 1ull << (hash & 63);
  size_t at = hash & (window_places - 1);
  while (windows[at].needle != 0) at = (at + 1) & (window_places - 1);
  windows[at] = (window){number + 1, offset};
}

/* Zeros are everywhere; what is long enough to be a hit has other windows as well. */
static int tells_something(const uint8_t *at) {
  return word_at(at) != 0 && word_at(at) != UINT64_MAX;
}

static void index_needle(uint32_t number) {
  const needle *added = &needles[number];
  for (uint32_t offset = 0; offset + WINDOW_BYTES <= added->length; offset++) {
    if (!tells_something(added->bytes + offset)) continue;
    place_window(number, offset);
    window_count++;
  }
}

static void make_room(size_t more) {
  if (windows && (window_count + more) * 2 <= window_places) return;
  if (window_places == 0) window_places = 1 << 16;
  while ((window_count + more) * 2 > window_places) window_places *= 2;
  free(windows);
  windows = zeroed(window_places, sizeof *windows);
  window_count = 0;
  for (uint32_t number = 0; number + 1 < needle_count; number++) index_needle(number);
}

static size_t from_hex(char *hex, uint8_t **bytes) {
  size_t length = strlen(hex) / 2;
  *bytes = zeroed(length + 1, 1);
  for (size_t at = 0; at < length; at++) {
    unsigned byte;
    if (sscanf(hex + 2 * at, "%2x", &byte) != 1) fail("a needle is not in hex");
    (*bytes)[at] = (uint8_t)byte;
  }
  return length;
}

static void add_needle(const char *name, size_t least, char *hex) {
  if (needle_count == NEEDLES_MAX) fail("too many needles");
  needle *added = &needles[needle_count++];
  snprintf(added->name, sizeof added->name, "%s", name);
  added->length = from_hex(hex, &added->bytes);
  added->least = least;
  if (least < LEAST_EQUAL_BYTES || added->length < least || added->length > AFTER_BYTES) fail("a needle's length");
  make_room(added->length);
  index_needle(needle_count - 1);
}

static void add_modulus(const char *name, const char *hex) {
  if (modulus_count == MODULI_MAX) fail("too many moduli");
  modulus *added = &moduli[modulus_count++];
  snprintf(added->name, sizeof added->name, "%s", name);
  added->complement = BN_new();
  added->mont = BN_MONT_CTX_new();
  added->seen = zeroed(1u << SEEN_BITS, sizeof *added->seen);
  int is_good = BN_hex2bn(&added->n, hex) && BN_num_bits(added->n) == 16 * PRIME_BYTES &&
                BN_set_bit(added->complement, 16 * PRIME_BYTES) &&
                BN_sub(added->complement, added->complement, added->n) &&
                BN_MONT_CTX_set(added->mont, added->n, scratch);
  if (!is_good) {
    fail("a modulus has 4,096 bits");
  }
}

/* ---- what is scanned, and what was found there ---- */

typedef struct place {
  char name[160];
  int is_locked; /* in locked memory that a fork does not get: an arena */
  uint64_t bytes;
  uint64_t unreadable;
  uint32_t hits, algebraic;
  struct {
    uint32_t needle, count, longest;
  } found[FOUND_MAX]; /* what comes beyond is counted and not named */
  uint32_t founds;
} place;

static place places[PLACES_MAX]; /* one for all mappings of one name */
static size_t place_count;

static place *place_named(const char *name, int is_locked) {
  for (size_t at = 0; at < place_count; at++) {
    if (places[at].is_locked == is_locked && strcmp(places[at].name, name) == 0) return &places[at];
  }
  place *added = &places[place_count < PLACES_MAX - 1 ? place_count++ : PLACES_MAX - 1];
  memset(added, 0, sizeof *added);
  snprintf(added->name, sizeof added->name, "%s", place_count < PLACES_MAX - 1 ? name : "others");
  added->is_locked = is_locked;
  return added;
}

static void note_hit(place *where, uint32_t number, uint32_t equal) {
  where->hits++;
  for (uint32_t at = 0; at < where->founds; at++) {
    if (where->found[at].needle != number) continue;
    where->found[at].count++;
    if (equal > where->found[at].longest) where->found[at].longest = equal;
    return;
  }
  if (where->founds == FOUND_MAX) return;
  where->found[where->founds].needle = number;
  where->found[where->founds].count = 1;
  where->found[where->founds++].longest = equal;
}

/* ---- the pass of the needles ---- */

/* Bytes with their address; before `from` and behind `to` lies what may be compared and is not searched. */
typedef struct view {
  const uint8_t *bytes;
  size_t from, to, length;
  uint64_t address; /* of bytes[0] */
} view;

static void compare(const view *seen, size_t at, window found, place *where) {
  needle *own = &needles[found.needle - 1];
  size_t back = 0, on = WINDOW_BYTES;
  if (memcmp(seen->bytes + at, own->bytes + found.offset, WINDOW_BYTES) != 0) return;
  uint64_t anchor = seen->address + at - found.offset;
  if (anchor == own->anchor && seen->address + at < own->end) return;
  while (back < found.offset && back < at && seen->bytes[at - back - 1] == own->bytes[found.offset - back - 1]) back++;
  while (found.offset + on < own->length && at + on < seen->length &&
         seen->bytes[at + on] == own->bytes[found.offset + on]) {
    on++;
  }
  if (back + on < own->least) return;
  own->anchor = anchor;
  own->end = seen->address + at + on;
  note_hit(where, found.needle - 1, (uint32_t)(back + on));
}

static void search(const view *seen, place *where) {
  if (window_count == 0) return;
  for (size_t at = seen->from; at + WINDOW_BYTES <= seen->length && at < seen->to; at += STRIDE_BYTES) {
    if (!tells_something(seen->bytes + at)) continue;
    uint64_t hash = mixed(word_at(seen->bytes + at));
    if (!(bitmap[(hash & ((1u << BITMAP_BITS) - 1)) / 64] >> (hash & 63) & 1)) continue;
    for (size_t slot = hash & (window_places - 1); windows[slot].needle != 0; slot = (slot + 1) & (window_places - 1)) {
      compare(seen, at, windows[slot], where);
    }
  }
}

/* ---- the algebraic pass ---- */

static struct {
  BIGNUM *values[BATCH];
  place *where[BATCH];
  size_t count;
} batch;

/* gcd(product of values[from..to), n) != 1 */
static int has_factor(const modulus *own, size_t from, size_t to) {
  BN_CTX_start(scratch);
  BIGNUM *product = BN_CTX_get(scratch), *common = BN_CTX_get(scratch);
  if (!common || !BN_copy(product, batch.values[from])) fail("out of memory");
  for (size_t at = from + 1; at < to; at++) {
    if (!BN_mod_mul_montgomery(product, product, batch.values[at], own->mont, scratch)) fail("multiplying");
  }
  if (!BN_gcd(common, product, own->n, scratch)) fail("gcd");
  int found = !BN_is_one(common);
  BN_CTX_end(scratch);
  return found;
}

static void find_factors(const modulus *own, size_t from, size_t to) {
  if (from == to || !has_factor(own, from, to)) return;
  if (to - from == 1) {
    batch.where[from]->algebraic++;
    memset(own->seen, 0, sizeof *own->seen << SEEN_BITS); /* the next scan shall find it again */
    return;
  }
  find_factors(own, from, (from + to) / 2);
  find_factors(own, (from + to) / 2, to);
}

static void settle_batch(const modulus *own) {
  find_factors(own, 0, batch.count);
  batch.count = 0;
}

static BIGNUM *next_value(const modulus *own, place *where) {
  if (batch.count == BATCH) settle_batch(own);
  if (!batch.values[batch.count]) batch.values[batch.count] = BN_new();
  batch.where[batch.count] = where;
  return batch.values[batch.count++];
}

/* A prime of 2,048 bits divides v < 2^2048 only when v is the prime: odd, its top bit set. */
static void multiply_up(const modulus *own, const uint8_t *at, place *where) {
  int may_be_prime = at[0] & 1 && at[PRIME_BYTES - 1] & 0x80;
  if (may_be_prime && !BN_lebin2bn(at, PRIME_BYTES, next_value(own, where))) fail("out of memory");
  BIGNUM *rest = next_value(own, where);
  int subtracted = BN_lebin2bn(at, PRIME_BYTES, rest) && BN_mod_sub(rest, own->complement, rest, own->n, scratch);
  if (!subtracted) fail("subtracting");
}

/* What speaks against a random number, by limb of 64 bits. */
typedef struct looks {
  int ones, high_bits, zero_bytes, short_limbs;
} looks;

static looks look_at(uint64_t limb) {
  uint64_t top = limb >> 48;
  uint64_t low = limb & 0x7f7f7f7f7f7f7f7fu;
  uint64_t zero = ~((low + 0x7f7f7f7f7f7f7f7fu) | limb | 0x7f7f7f7f7f7f7f7fu);
  return (looks){.ones = __builtin_popcountll(limb),
                 .high_bits = __builtin_popcountll(limb & 0x8080808080808080u),
                 .zero_bytes = __builtin_popcountll(zero),
                 .short_limbs = top == 0 || top == 0xffff};
}

static int may_be_random(const looks *sum) {
  return abs(sum->ones - 1024) <= 200 && abs(sum->high_bits - 128) <= 64 && sum->zero_bytes <= 16 &&
         sum->short_limbs <= 3;
}

static void add_looks(looks *sum, looks limb, int sign) {
  sum->ones += sign * limb.ones;
  sum->high_bits += sign * limb.high_bits;
  sum->zero_bytes += sign * limb.zero_bytes;
  sum->short_limbs += sign * limb.short_limbs;
}

/* 64 bits that say whether these bytes were here before; by chance one page in 2^64 is taken for another. */
static int was_seen(const modulus *own, const uint8_t *at, size_t bytes) {
  uint64_t hash = bytes;
  for (size_t read = 0; read + 8 <= bytes; read += 8) hash = mixed(hash ^ word_at(at + read)) + read;
  uint64_t *slot = &own->seen[hash >> (64 - SEEN_BITS)];
  int seen = *slot == hash;
  *slot = hash;
  return seen;
}

/* Windows that begin in one step; `bytes` may be read. */
static void algebra_of_step(const modulus *own, const uint8_t *at, size_t bytes, place *where) {
  looks limbs[(STEP_BYTES + PRIME_BYTES) / 8], sum = {0};
  if (bytes > STEP_BYTES + PRIME_BYTES - 8) bytes = STEP_BYTES + PRIME_BYTES - 8;
  size_t count = bytes / 8;
  if (count < LIMBS || was_seen(own, at, bytes)) return;
  for (size_t limb = 0; limb < count; limb++) {
    limbs[limb] = look_at(word_at(at + 8 * limb));
    add_looks(&sum, limbs[limb], 1);
    if (limb >= LIMBS) add_looks(&sum, limbs[limb - LIMBS], -1);
    if (limb + 1 >= LIMBS && may_be_random(&sum)) multiply_up(own, at + 8 * (limb + 1 - LIMBS), where);
  }
}

static void algebra(const modulus *own, const view *seen, place *where) {
  for (size_t at = seen->from; at < seen->to; at += STEP_BYTES) {
    algebra_of_step(own, seen->bytes + at, seen->length - at, where);
  }
}

/* ---- reading ---- */

static uint8_t buffer[BEFORE_BYTES + CHUNK_BYTES + AFTER_BYTES];

/* Reads what there is of [at, at + bytes); what fails counts as unreadable page by page and is zeros. */
static void read_over(int file, uint64_t at, size_t bytes, uint8_t *into, place *counting) {
  for (size_t done = 0; done < bytes;) {
    ssize_t got = pread(file, into + done, bytes - done, (off_t)(at + done));
    if (got > 0) {
      done += (size_t)got;
      if (counting) counting->bytes += (uint64_t)got;
      continue;
    }
    size_t hole = STEP_BYTES - (size_t)((at + done) % STEP_BYTES);
    if (hole > bytes - done) hole = bytes - done;
    memset(into + done, 0, hole);
    if (counting) counting->unreadable += hole;
    done += hole;
  }
}

/* shift: address in memory minus place in the file */
static void scan_range(int file, uint64_t from, uint64_t to, uint64_t shift, const modulus *own, place *where) {
  for (uint64_t at = from; at < to; at += CHUNK_BYTES) {
    size_t before = at - from < BEFORE_BYTES ? (size_t)(at - from) : BEFORE_BYTES;
    size_t part = to - at < CHUNK_BYTES ? (size_t)(to - at) : CHUNK_BYTES;
    size_t after = to - at - part < AFTER_BYTES ? (size_t)(to - at - part) : AFTER_BYTES;
    read_over(file, at - before, before, buffer, NULL);
    read_over(file, at, part, buffer + before, where);
    read_over(file, at + part, after, buffer + before + part, NULL);
    view seen = {buffer, before, before + part, before + part + after, at - before + shift};
    search(&seen, where);
    if (own) algebra(own, &seen, where);
  }
}

/* ---- a process ---- */

enum { PAGES_AT_ONCE = 1 << 16 };
static uint64_t pages[PAGES_AT_ONCE];

typedef struct mapping {
  uint64_t from, to;
  int is_readable, is_file, is_private, is_locked;
  char name[160];
} mapping;

typedef enum depth { NOT_THERE, NEEDLES_ONLY, BOTH_PASSES } depth;

/* An unchanged page of a file is what was on disk before the process was: only needles are looked for there. */
static depth depth_of(const mapping *of, uint64_t page) {
  int is_there = page >> 62 != 0; /* present or swapped */
  int is_file_page = page >> 61 & 1;
  if (!of->is_file) return is_there ? BOTH_PASSES : NOT_THERE;
  return of->is_private && (!is_there || is_file_page) ? NEEDLES_ONLY : BOTH_PASSES;
}

static void scan_run(int memory, uint64_t from, uint64_t to, depth how, const modulus *own, place *where) {
  if (how != NOT_THERE && from < to) scan_range(memory, from, to, 0, how == BOTH_PASSES ? own : NULL, where);
}

/* Anonymous memory as far as it is there, whatever its rights; files whole. */
static void scan_mapping(int memory, int pagemap, const mapping *of, const modulus *own, place *where) {
  uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), begun = of->from;
  depth before = NOT_THERE;
  for (uint64_t at = of->from; at < of->to; at += page) {
    size_t index = (size_t)((at - of->from) / page % PAGES_AT_ONCE);
    if (index == 0) {
      memset(pages, 0, sizeof pages);
      uint64_t left = (of->to - at) / page;
      size_t wanted = (size_t)(left < PAGES_AT_ONCE ? left : PAGES_AT_ONCE) * sizeof *pages;
      if (pread(pagemap, pages, wanted, (off_t)(at / page * sizeof *pages)) < 0) fail("pagemap cannot be read");
    }
    depth now = depth_of(of, pages[index]);
    if (now == before) continue;
    scan_run(memory, begun, at, before, own, where);
    begun = at;
    before = now;
  }
  scan_run(memory, begun, of->to, before, own, where);
}

/* smaps: the line of maps, then facts, the last of them VmFlags. */
static int next_mapping(FILE *smaps, mapping *found) {
  static char line[4096];
  int has_head = 0;
  while (fgets(line, sizeof line, smaps)) {
    unsigned long long from, to, inode;
    char rights[8];
    int name_at = 0;
    if (sscanf(line, "%llx-%llx %7s %*s %*s %llu %n", &from, &to, rights, &inode, &name_at) == 4) {
      line[strcspn(line, "\n")] = 0;
      *found = (mapping){.from = from, .to = to, .is_readable = rights[0] == 'r', .is_private = rights[3] == 'p'};
      snprintf(found->name, sizeof found->name, "%s", line[name_at] ? line + name_at : "anonymous");
      found->is_file = inode != 0 && strncmp(found->name, "/secretmem", 10) != 0;
      has_head = 1;
    } else if (has_head && strncmp(line, "VmFlags:", 8) == 0) {
      found->is_locked = strstr(line, " lo") != NULL && strstr(line, " wf") != NULL;
      return 1;
    }
  }
  return 0;
}

static int open_of(const char *pid, const char *what) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%s/%s", pid, what);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) fail("a process cannot be read: it is gone, or this is not root");
  return file;
}

static void scan_process(const char *pid, const modulus *own) {
  int memory = open_of(pid, "mem"), pagemap = open_of(pid, "pagemap");
  FILE *smaps = fdopen(open_of(pid, "smaps"), "r");
  mapping next;
  while (next_mapping(smaps, &next)) {
    if (next.is_file && !next.is_readable) continue;
    place *where = place_named(next.name, next.is_locked);
    scan_mapping(memory, pagemap, &next, own, where);
  }
  fclose(smaps);
  close(memory);
  close(pagemap);
}

/* ---- a core file: its segments, and its notes, where registers stand ---- */

static void scan_core(const char *path, const modulus *own) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  Elf64_Ehdr head;
  if (file < 0 || pread(file, &head, sizeof head, 0) != sizeof head || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
      head.e_type != ET_CORE || head.e_phnum == PN_XNUM) {
    fail("that is no core file");
  }
  for (int at = 0; at < head.e_phnum; at++) {
    Elf64_Phdr segment;
    off_t described = (off_t)(head.e_phoff + (uint64_t)at * head.e_phentsize);
    if (pread(file, &segment, sizeof segment, described) != sizeof segment) fail("a core file's head");
    if (segment.p_type != PT_LOAD && segment.p_type != PT_NOTE) continue;
    place *where = place_named(segment.p_type == PT_NOTE ? "registers" : "memory", 0);
    uint64_t end = segment.p_offset + segment.p_filesz;
    for (uint64_t from = segment.p_offset, to; from < end; from = to) {
      off_t data = lseek(file, (off_t)from, SEEK_DATA); /* what was never touched is a hole */
      if (data < 0 || (uint64_t)data >= end) break;
      off_t hole = lseek(file, data, SEEK_HOLE);
      to = hole > data && (uint64_t)hole < end ? (uint64_t)hole : end;
      scan_range(file, (uint64_t)data, to, segment.p_vaddr - segment.p_offset, own, where);
    }
  }
  close(file);
}

/* ---- any other file ---- */

static void scan_file(const char *path, const modulus *own) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  off_t end = file < 0 ? -1 : lseek(file, 0, SEEK_END);
  if (end < 0) fail("a file cannot be read");
  scan_range(file, 0, (uint64_t)end, 0, own, place_named("file", 0));
  close(file);
}

/* ---- answers ---- */

static void print_text(const char *text) {
  putchar('"');
  for (; *text; text++) {
    if (*text == '"' || *text == '\\') putchar('\\');
    if ((unsigned char)*text >= ' ') putchar(*text);
  }
  putchar('"');
}

static void print_place(const place *where) {
  printf("{\"name\":");
  print_text(where->name);
  printf(",\"locked\":%s,\"bytes\":%llu,\"unreadableBytes\":%llu,\"hits\":%u,\"algebraic\":%u,\"found\":[",
         where->is_locked ? "true" : "false", (unsigned long long)where->bytes, (unsigned long long)where->unreadable,
         where->hits, where->algebraic);
  for (uint32_t at = 0; at < where->founds; at++) {
    printf("%s{\"needle\":", at ? "," : "");
    print_text(needles[where->found[at].needle].name);
    printf(",\"count\":%u,\"longestBytes\":%u}", where->found[at].count, where->found[at].longest);
  }
  printf("]}");
}

static void answer(void) {
  printf("{\"places\":[");
  for (size_t at = 0; at < place_count; at++) {
    if (at) putchar(',');
    print_place(&places[at]);
  }
  printf("]}\n");
  fflush(stdout);
}

static const modulus *modulus_named(const char *name) {
  for (size_t at = 0; at < modulus_count; at++) {
    if (strcmp(moduli[at].name, name) == 0) return &moduli[at];
  }
  if (strcmp(name, "-") != 0) fail("no modulus of that name");
  return NULL;
}

static void obey(char *line) {
  char *rest = line, *words[4] = {NULL};
  for (int at = 0; at < 4 && rest; at++) words[at] = strsep(&rest, " ");
  if (strcmp(words[0], "needle") == 0 && words[3]) {
    add_needle(words[1], strtoul(words[2], NULL, 10), words[3]);
    return;
  }
  if (strcmp(words[0], "modulus") == 0 && words[2]) {
    add_modulus(words[1], words[2]);
    return;
  }
  if (!words[2]) fail("an order that nobody knows");
  const modulus *own = modulus_named(words[2]);
  place_count = 0;
  for (uint32_t at = 0; at < needle_count; at++) needles[at].end = 0;
  if (strcmp(words[0], "process") == 0) scan_process(words[1], own);
  else if (strcmp(words[0], "core") == 0) scan_core(words[1], own);
  else if (strcmp(words[0], "file") == 0) scan_file(words[1], own);
  else fail("an order that nobody knows");
  if (own) settle_batch(own);
  answer();
}

int main(void) {
  static char line[LINE_BYTES];
  scratch = BN_CTX_new();
  while (fgets(line, sizeof line, stdin)) {
    size_t length = strcspn(line, "\n");
    if (line[length] != '\n') fail("a line is too long");
    line[length] = 0;
    if (length > 0) obey(line);
  }
  return 0;
}
