/* Files that are changed before the vault reads them. */
#ifndef FELDFON_FUZZ_CHANGES_H
#define FELDFON_FUZZ_CHANGES_H

#include <dirent.h>

#include "fuzz.h"

enum { FILE_BYTES_MOST = 20000, CHANGES_MOST = 64, FILES_OF_FUZZER = 8 };

typedef struct content {
  uint8_t bytes[FILE_BYTES_MOST];
  size_t length;
} content;

static inline int open_files(void) {
  int files = 0;
  DIR *folder = opendir("/proc/self/fd");
  MUST(folder);
  while (readdir(folder)) files++;
  closedir(folder);
  return files;
}

static inline void read_file(const char *path, content *what) {
  FILE *file = fopen(path, "rb");
  MUST(file);
  what->length = fread(what->bytes, 1, sizeof what->bytes, file);
  fclose(file);
}

static inline void write_file(const char *path, const content *what) {
  FILE *file = fopen(path, "wb");
  MUST(file && fwrite(what->bytes, 1, what->length, file) == what->length);
  MUST(fclose(file) == 0);
}

static inline void cut(content *from, size_t at, size_t length) {
  if (length > from->length - at) length = from->length - at;
  memmove(from->bytes + at, from->bytes + at + length, from->length - at - length);
  from->length -= length;
}

static inline void insert(content *into, size_t at, size_t length, uint8_t value) {
  if (into->length + length > FILE_BYTES_MOST) return;
  memmove(into->bytes + at + length, into->bytes + at, into->length - at);
  memset(into->bytes + at, value, length);
  into->length += length;
}

static inline void change(content *what, fuzz_input *input) {
  uint8_t kind = next_byte(input);
  size_t place = next_word(input) % (what->length + 1), left = what->length - place;
  uint8_t value = next_byte(input);
  switch (kind % 8) {
    case 0: case 1: if (left > 0) what->bytes[place] = value; break;
    case 2: if (left > 0) what->bytes[place] ^= (uint8_t)(1 << value % 8); break;
    case 3: what->length = place; break;
    case 4: cut(what, place, value); break;
    case 5: insert(what, place, value, next_byte(input)); break;
    case 6: insert(what, place, (size_t)value * 64, next_byte(input)); break;
    case 7: for (; value > 0 && place < what->length; value--) what->bytes[place++] = next_byte(input); break;
  }
}

static inline void change_all(content *what, fuzz_input *input) {
  for (int changes = 0; input->left > 0 && changes < CHANGES_MOST; changes++) change(what, input);
}

#endif
