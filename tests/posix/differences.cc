// The cases that each file system is known not to pass. A listed case must fail. If it passes, the
// suite reports it, so that the lists never hide a case that works.

#include <string>

#include "tests/posix/runner.h"
#include "tests/posix/suite.h"

namespace posix {
namespace {

constexpr const char* kSystems[] = {"tmpfs", "ext4", "virtiofs", "9p"};

constexpr char kNoTmpfile[] = "files without a name are not served";
constexpr char k9pTmpfile[] = "9P2000.L has no files without a name";
constexpr char k9pFlags[] = "9P2000.L has no flags of rename; Linux refuses them";
constexpr char k9pHoles[] = "9P2000.L has no message to find holes; Linux takes all for data";
constexpr char k9pFallocate[] = "9P2000.L has no fallocate";
constexpr char k9pSeconds[] = "9p in Linux cuts times that are set to seconds since 1970";

constexpr Difference kDifferences[] = {
    {"tmpfs", "fallocate.collapse_range", "tmpfs has no FALLOC_FL_COLLAPSE_RANGE"},
    {"tmpfs", "fallocate.zero_range*", "tmpfs has no FALLOC_FL_ZERO_RANGE"},

    // The guest's kernel has its own devices; a guest must not make devices of the host.
    {"virtiofs", "device.null_is_opened", "no devices are made on the host"},
    {"virtiofs", "device.numbers_are_kept", "no devices are made on the host"},
    {"virtiofs", "fallocate.collapse_range", "FUSE in Linux refuses the mode"},
    {"virtiofs", "tmpfile.has_no_name_and_is_written", kNoTmpfile},
    {"virtiofs", "tmpfile.is_linked_by_descriptor", kNoTmpfile},
    {"virtiofs", "tmpfile.exclusive_is_never_linked", kNoTmpfile},

    {"9p", "device.null_is_opened", "no devices are made on the host"},
    {"9p", "device.numbers_are_kept", "no devices are made on the host"},
    {"9p", "tmpfile.has_no_name_and_is_written", k9pTmpfile},
    {"9p", "tmpfile.is_linked_by_descriptor", k9pTmpfile},
    {"9p", "tmpfile.exclusive_is_never_linked", k9pTmpfile},
    {"9p", "rename_noreplace.to_a_new_name", k9pFlags},
    {"9p", "rename_exchange.files", k9pFlags},
    {"9p", "rename_exchange.file_and_full_directory", k9pFlags},
    {"9p", "rename_exchange.directories_of_two_parents", k9pFlags},
    {"9p", "rename_whiteout.*", k9pFlags},
    {"9p", "seek_hole.finds_the_hole_between", k9pHoles},
    {"9p", "seek_hole.finds_the_data_behind", k9pHoles},
    {"9p", "seek_hole.hole_at_the_end", k9pHoles},
    {"9p", "fallocate.extends_with_zeros", k9pFallocate},
    {"9p", "fallocate.takes_blocks", k9pFallocate},
    {"9p", "fallocate.keep_size", k9pFallocate},
    {"9p", "fallocate.leaves_data_alone", k9pFallocate},
    {"9p", "fallocate.punch_hole", k9pFallocate},
    {"9p", "fallocate.punch_hole_within_a_page", k9pFallocate},
    {"9p", "fallocate.zero_range*", k9pFallocate},
    {"9p", "fallocate.collapse_range", k9pFallocate},
    {"9p", "setid.fallocate_by_another_clears_them", k9pFallocate},
    {"9p", "stamps.fallocate", k9pFallocate},
    {"9p", "times.set_to_one_nanosecond", k9pSeconds},
    {"9p", "times.set_to_all_nanoseconds", k9pSeconds},
    {"9p", "times.set_to_before_1970", k9pSeconds},
    {"9p", "times.set_to_end_of_31_bits", k9pSeconds},
    {"9p", "times.set_to_after_2038", k9pSeconds},
    {"9p", "times.set_to_year_2200", k9pSeconds},
    {"9p", "times.omit_leaves_one", k9pSeconds},
    {"9p", "times.now_and_a_given_one", k9pSeconds},
    {"9p", "times.of_a_directory", k9pSeconds},
    {"9p", "times.of_an_open_file", k9pSeconds},
    {"9p", "times.set_after_writing_stay_set", k9pSeconds},
    {"9p", "append.cleared_by_fcntl", "Linux does not tell the server of it"},
    {"9p", "mmap.shared_write_is_read_without_msync",
     "with cache=mmap Linux reads around its cache"},
    {"9p", "fifo.by_two_names", "9p in Linux has an inode for each name"},
    {"9p", "flock.does_not_conflict_with_fcntl", "the message does not tell flock from fcntl"},
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
