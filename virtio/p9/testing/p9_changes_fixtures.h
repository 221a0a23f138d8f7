// A writable 9P share.
#ifndef VIRTIO_P9_TESTING_P9_CHANGES_FIXTURES_H_
#define VIRTIO_P9_TESTING_P9_CHANGES_FIXTURES_H_

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "absl/strings/string_view.h"
#include "virtio/p9/testing/p9_fixtures.h"

namespace virtio {

class P9ChangesTest : public testing::Test {
 protected:
  static P9Harness::Options Writable() {
    return {.versions = P9Versions::kContents, .writable = true};
  }
  static void Fill(const TemporaryTree& host) {
    host.Write("root/file", "content");
    host.Write("root/dir/inner", "inner content");
    host.Write("outside", "of no concern");
  }
  bool IsOnHost(absl::string_view name) {
    struct stat status;
    return lstat(p9_.HostPath(name).c_str(), &status) == 0;
  }
  uint32_t LinksOf(uint32_t fid) {
    return static_cast<uint32_t>(p9_.GetAttributes(fid).As<P9AttributesReply>().links.value());
  }

  P9Harness p9_{Writable(), Fill};
};

}  // namespace virtio

#endif  // VIRTIO_P9_TESTING_P9_CHANGES_FIXTURES_H_
