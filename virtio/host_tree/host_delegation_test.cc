// Tests changes of files that are delegated to a client of nfsd: the call of the host waits for the
// client, and the share does not.

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "virtio/host_tree/testing/forgetful_fuse_fixtures.h"
#include "virtio/host_tree/testing/host_changes_fixtures.h"
#include "virtio/host_tree/testing/mount_fixtures.h"

namespace virtio {
namespace {

// Makes changes that a delegation holds up.
class HostDelegationTest : public HostChangesTest {
 protected:
  // Returns true if /proc/locks has a delegation of the file: "1: DELEG ACTIVE READ 0 fd:00:1234 0
  // EOF".
  static bool IsDelegated(const std::string& path) {
    struct stat status;
    if (stat(path.c_str(), &status) != 0) return false;
    std::ifstream locks("/proc/locks");
    for (std::string line; std::getline(locks, line);) {
      const bool of_file = absl::StrContains(line, absl::StrCat(":", status.st_ino, " "));
      if (of_file && absl::StrContains(line, "DELEG")) return true;
    }
    return false;
  }
  // A change of the file `file` in the directory `parent`.
  struct Change {
    const char* name;
    std::function<HostError(NodeId parent, const std::string& file)> make;
  };
  std::vector<Change> Changes() {
    return {
        {"chmod",
         [this](NodeId parent, const std::string& file) {
           return Set(Find(parent, file), {.mode = 0600});
         }},
        {"chown", [this](NodeId parent,
                         const std::string& file) { return Set(Find(parent, file), {.gid = 0}); }},
        {"utimens",
         [this](NodeId parent, const std::string& file) {
           return Set(Find(parent, file), {.modified = {1, 0}});
         }},
        {"setxattr",
         [this](NodeId parent, const std::string& file) {
           return tree_->SetXattr(Find(parent, file), "user.a", "value", 0);
         }},
        {"rename",
         [this](NodeId parent, const std::string& file) {
           return tree_->Rename(parent, file, parent, file + ".new", 0);
         }},
        {"unlink",
         [this](NodeId parent, const std::string& file) { return tree_->Unlink(parent, file); }},
    };
  }
};

// A FUSE server makes the calls wait in place of nfsd. A signal ends this wait, too.
TEST_F(HostDelegationTest, ChangesDoNotWaitForTheClient) {
  HostMounts mounts;
  ForgetfulFuse fuse(10);
  if (!mounts.can_mount() || !fuse.is_there()) GTEST_SKIP() << "no /dev/fuse, or no right to mount";
  ASSERT_EQ(mounts.Add(host_.Path("root"), "fuse", "none", 0, fuse.options().c_str()), 0);
  fuse.Start();
  Open();
  int made = 0;
  for (const Change& change : Changes()) {
    const std::string file = absl::StrCat("f", made);
    ASSERT_EQ(LookupError(kRootNode, file), 0);
    fuse.Delegate();
    EXPECT_EQ(change.make(kRootNode, file), EAGAIN) << change.name;
    EXPECT_EQ(change.make(kRootNode, file), EAGAIN) << change.name;
    EXPECT_EQ(fuse.changes(), made) << change.name;
    // The name and the node are as they were.
    EXPECT_EQ(HostTreeTest::Content(Find(kRootNode, file)), absl::StrCat("file ", made));
    fuse.GiveBack();
    EXPECT_EQ(change.make(kRootNode, file), 0) << change.name;
    EXPECT_EQ(fuse.changes(), ++made) << change.name;
  }
  tree_.reset();
}

// nfsd serves a folder of this machine, and the client in the kernel has mounted that folder. The
// environment names both; integration tests set it.
TEST_F(HostDelegationTest, ChangesDoNotWaitForAClientOfNfsd) {
  const char* mounted = std::getenv("VMM_TEST_NFS");
  const char* served = std::getenv("VMM_TEST_NFS_SERVER");
  if (mounted == nullptr || served == nullptr) GTEST_SKIP() << "VMM_TEST_NFS is not set";
  const std::string folder = absl::StrCat(served, "/delegated");
  ASSERT_EQ(mkdir(folder.c_str(), 0755), 0);
  HostTree::Options options;
  options.name = "fs[0]";
  options.path = folder;
  options.writable = true;
  OpenWith(std::move(options));
  std::vector<Change> changes = Changes();
  changes.push_back({"link", [this](NodeId parent, const std::string& file) {
                       FoundNode found;
                       return tree_->Link(Find(parent, file), parent, file + ".link", found);
                     }});
  changes.push_back({"open", [this](NodeId parent, const std::string& file) {
                       std::unique_ptr<HostFile> opened;
                       return tree_->OpenFile(Find(parent, file), O_RDWR, opened);
                     }});
  int number = 0;
  for (const Change& change : changes) {
    std::string file;
    base::UniqueFd client;
    // The server delegates no file until it has reached the client.
    for (int tries = 0; tries < 100; ++tries) {
      file = absl::StrCat("f", number++);
      std::ofstream(absl::StrCat(folder, "/", file)) << "content";
      client.reset(open(absl::StrCat(mounted, "/delegated/", file).c_str(), O_RDONLY | O_CLOEXEC));
      ASSERT_TRUE(client.valid()) << change.name;
      if (IsDelegated(absl::StrCat(folder, "/", file))) break;
      usleep(100'000);
    }
    ASSERT_TRUE(IsDelegated(absl::StrCat(folder, "/", file))) << change.name;
    // The client cannot hear the server.
    ASSERT_EQ(std::system("ip link set lo down"), 0);
    EXPECT_EQ(change.make(kRootNode, file), EAGAIN) << change.name;
    ASSERT_EQ(std::system("ip link set lo up"), 0);
    // The client hears the server again and gives the file back.
    HostError error = EAGAIN;
    for (int tries = 0; tries < 300 && error == EAGAIN; ++tries) {
      usleep(100'000);
      error = change.make(kRootNode, file);
    }
    EXPECT_EQ(error, 0) << change.name;
  }
  tree_.reset();
}

}  // namespace
}  // namespace virtio
