// What each file system is known not to carry. A case listed here must fail: one that passes is
// reported, so that the lists never hide what works.

#include <string>

#include "tests/posix/runner.h"
#include "tests/posix/suite.h"

namespace posix {
namespace {

constexpr const char* kSystems[] = {"tmpfs", "ext4", "virtiofs", "9p"};

constexpr Difference kDifferences[] = {
    {"tmpfs", "fallocate.collapse_range", "tmpfs has no FALLOC_FL_COLLAPSE_RANGE"},
    {"tmpfs", "fallocate.zero_range*", "tmpfs has no FALLOC_FL_ZERO_RANGE"},
};

bool Matches(const std::string& pattern, const std::string& name) {
  if (pattern.back() != '*') return pattern == name;
  return name.compare(0, pattern.size() - 1, pattern, 0, pattern.size() - 1) == 0;
}

}  // namespace

const Difference* FindDifference(const std::string& system, const std::string& name) {
  for (const Difference& difference : kDifferences) {
    if (system == difference.system && Matches(difference.name, name)) return &difference;
  }
  return nullptr;
}

bool IsKnownSystem(const std::string& system) {
  for (const char* known : kSystems) {
    if (system == known) return true;
  }
  return false;
}

const Difference* FindUnusedDifference(const std::string& system) {
  for (const Difference& difference : kDifferences) {
    if (system != difference.system) continue;
    bool used = false;
    for (const Case& one : Cases()) used = used || Matches(difference.name, one.name);
    if (!used) return &difference;
  }
  return nullptr;
}

}  // namespace posix
