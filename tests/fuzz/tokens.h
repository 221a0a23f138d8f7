// Makes text for fuzzers of languages: a byte below 0x80 stands for itself, any other byte for a
// word.
#ifndef TESTS_FUZZ_TOKENS_H_
#define TESTS_FUZZ_TOKENS_H_

#include <cstdint>
#include <span>
#include <string>

#include "absl/strings/string_view.h"

inline std::string ExpandTokens(std::span<const uint8_t> input,
                                std::span<const absl::string_view> words) {
  constexpr size_t kMaxBytes = 1 << 16;
  std::string text;
  for (const uint8_t byte : input) {
    if (text.size() > kMaxBytes) break;
    if (byte < 0x80) {
      text.push_back(static_cast<char>(byte));
    } else {
      const absl::string_view word = words[(byte - 0x80) % words.size()];
      text.append(word.data(), word.size());
    }
  }
  return text;
}

#endif  // TESTS_FUZZ_TOKENS_H_
