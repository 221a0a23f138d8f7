// A text that no answer of a share may contain.
#ifndef TESTS_FUZZ_SECRET_H_
#define TESTS_FUZZ_SECRET_H_

#include <cstdint>
#include <span>
#include <string>

#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "base/guest_memory.h"
#include "base/log.h"

namespace virtio {

constexpr absl::string_view kSecret = "S3CR3T-OUTSIDE-THE-CLOSURE";

// Returns true if the first `ram_bytes` of guest RAM contain the secret. Compares hashes: a fuzzer
// learns the texts that are compared and could otherwise produce the secret itself.
inline bool HasSecret(const base::GuestMemory& memory, size_t ram_bytes) {
  std::string ram(ram_bytes, '\0');
  CHECK(memory.Read(0, std::span(reinterpret_cast<uint8_t*>(ram.data()), ram.size())));
  const absl::Hash<absl::string_view> hash;
  for (size_t at = 0; (at = ram.find(kSecret[0], at)) != std::string::npos; ++at) {
    if (hash(absl::string_view(ram).substr(at, kSecret.size())) == hash(kSecret)) return true;
  }
  return false;
}

}  // namespace virtio

#endif  // TESTS_FUZZ_SECRET_H_
