#include "vmm/config/key_path.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace vmm {
namespace {

bool IsContinuation(char c) { return (static_cast<uint8_t>(c) & 0xC0) == 0x80; }

// Returns the Levenshtein distance, ignoring case: the fewest insertions, deletions and
// replacements.
size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const bool same = absl::ascii_tolower(static_cast<unsigned char>(a[i - 1])) ==
                        absl::ascii_tolower(static_cast<unsigned char>(b[j - 1]));
      const size_t replaced = diagonal + (same ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string Printable(absl::string_view text, size_t max_bytes) {
  size_t end = std::min(text.size(), max_bytes);
  // Do not cut inside a UTF-8 sequence: continuation bytes are 10xxxxxx.
  while (end > 0 && end < text.size() && IsContinuation(text[end])) --end;
  std::string result;
  for (size_t i = 0; i < end; ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    // U+0080 to U+009F are control characters too. They are coded as 0xC2 and the value.
    const bool control = byte < 0x20 || byte == 0x7F ||
                         (byte < 0xA0 && IsContinuation(text[i]) && i > 0 && text[i - 1] == '\xC2');
    if (control) {
      absl::StrAppend(&result, "\\x", absl::Hex(byte, absl::kZeroPad2));
    } else {
      result.push_back(text[i]);
    }
  }
  return end < text.size() ? absl::StrCat(result, "...") : result;
}

std::string JoinKey(absl::string_view parent, absl::string_view key) {
  return absl::StrCat(parent, parent.empty() ? "" : ".", Printable(key));
}

std::string JoinIndex(absl::string_view parent, size_t index) {
  return absl::StrCat(parent, "[", index, "]");
}

absl::Status Invalid(absl::string_view path, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", what));
}

absl::string_view Nearest(absl::string_view word,
                          const std::vector<absl::string_view>& candidates) {
  constexpr size_t kLongestWord = 64;  // bounds the work; every key is much shorter
  if (word.size() > kLongestWord) return "";
  absl::string_view best;
  size_t best_distance = SIZE_MAX;
  for (absl::string_view candidate : candidates) {
    // A word that begins a longer name is meant to be that name, such as `boot` for `boot_vcpus`.
    const bool is_beginning = word.size() >= 3 && absl::StartsWith(candidate, word);
    const size_t distance = is_beginning ? 1 : EditDistance(word, candidate);
    // Up to a third of wrong letters counts as a typing mistake; more makes another word.
    if (distance < best_distance && distance <= std::max<size_t>(candidate.size() / 3, 1)) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace vmm
