// FUSE shares below whose root other file systems of the host are mounted.

#include <errno.h>
#include <gtest/gtest.h>
#include <linux/magic.h>

#include <optional>
#include <set>
#include <string>

#include "virtio/fs/testing/fs_fixtures.h"
#include "virtio/host_tree/testing/mount_fixtures.h"

namespace virtio {
namespace {

class FsMounts : public testing::Test {
 protected:
  void SetUp() override {
    if (!mounts_.can_mount()) GTEST_SKIP() << "no right to mount";
    // Mount two small file systems. Each has a file x, which has the same inode number in both.
    fs_.emplace(FsHarness::Options{.cache = FsCache::kAuto, .writable = true, .submounts = true},
                [this](TemporaryTree& host) {
                  for (const char* name : {"root/a", "root/b"}) {
                    host.Directory(name);
                    EXPECT_EQ(mounts_.Add(host.Path(name), "tmpfs", "none", 0, "size=64k"), 0);
                    host.Write(std::string(name) + "/x", name);
                  }
                });
  }
  void TearDown() override {
    mounts_.RemoveAll();
    fs_.reset();
  }

  HostMounts mounts_;
  std::optional<FsHarness> fs_;
};

TEST_F(FsMounts, AllRequestsReportTheSameInodeNumber) {
  std::set<uint64_t> numbers;
  for (const char* name : {"a", "b"}) {
    const auto directory = fs_->Lookup(FUSE_ROOT_ID, name).As<fuse_entry_out>();
    const auto x = fs_->Lookup(directory.nodeid, "x").As<fuse_entry_out>();
    numbers.insert({directory.attr.ino, x.attr.ino});
    const auto attributes = fs_->Do(FUSE_GETATTR, x.nodeid, BytesOf(fuse_getattr_in{}));
    EXPECT_EQ(attributes.As<fuse_attr_out>().attr.ino, x.attr.ino);
    for (const uint32_t opcode : {FUSE_READDIR, FUSE_READDIRPLUS}) {
      for (const auto& listed : fs_->List(FUSE_ROOT_ID, opcode)) {
        if (listed.name == name) {
          EXPECT_EQ(listed.inode, directory.attr.ino) << opcode;
        }
      }
      for (const auto& listed : fs_->List(directory.nodeid, opcode)) {
        if (listed.name == "x") {
          EXPECT_EQ(listed.inode, x.attr.ino) << opcode;
        }
        if (listed.name == ".") {
          EXPECT_EQ(listed.inode, directory.attr.ino) << opcode;
        }
        if (listed.name == "..") {
          EXPECT_EQ(listed.inode, fs_->host().Inode("root")) << opcode;
        }
      }
    }
  }
  EXPECT_EQ(numbers.size(), 4U) << "to tar, cp, mv, find and rsync they are one file";
}

TEST_F(FsMounts, StatFsDescribesTheFileSystemOfTheNode) {
  const auto bytes = [this](uint64_t node) {
    const auto status = fs_->Do(FUSE_STATFS, node).As<fuse_statfs_out>().st;
    return status.blocks * status.frsize;
  };
  const uint64_t a = fs_->Find(FUSE_ROOT_ID, "a");
  EXPECT_EQ(bytes(a), 65536U);
  EXPECT_EQ(bytes(fs_->Find(a, "x")), 65536U);
  EXPECT_NE(bytes(FUSE_ROOT_ID), 65536U);
  EXPECT_EQ(fs_->Do(FUSE_STATFS, 99).error, ESTALE);
}

// A file system that is mounted below may have other rules for set-id bits.
TEST_F(FsMounts, WithSubmountsTheGuestTakesSetIdBitsOff) {
  EXPECT_EQ(fs_->Init().As<fuse_init_out>().flags & FUSE_HANDLE_KILLPRIV_V2, 0U);
}

// If the files lie on another machine, that machine takes set-id bits off by its own rules.
TEST(FsKinds, TheHostTakesSetIdBitsOffOnlyOnLocalFileSystems) {
  const auto init = [](uint64_t magic) {
    FsHarness fs({.cache = FsCache::kAuto, .writable = true, .root_magic = magic},
                 [](TemporaryTree& host) { host.Write("root/file", "content"); });
    EXPECT_EQ(fs.Lookup(FUSE_ROOT_ID, "file").error, 0) << magic;
    return fs.Init().As<fuse_init_out>().flags;
  };
  for (const uint64_t magic : {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, TMPFS_MAGIC}) {
    EXPECT_NE(init(magic) & FUSE_HANDLE_KILLPRIV_V2, 0U) << magic;
  }
  for (const uint64_t magic : {uint64_t{NFS_SUPER_MAGIC}, uint64_t{CIFS_SUPER_MAGIC},
                               uint64_t{SMB2_SUPER_MAGIC}, uint64_t{V9FS_MAGIC}}) {
    EXPECT_EQ(init(magic) & FUSE_HANDLE_KILLPRIV_V2, 0U) << magic;
    // All other flags are the same.
    EXPECT_EQ(init(magic) | FUSE_HANDLE_KILLPRIV_V2, init(EXT4_SUPER_MAGIC)) << magic;
  }
}

}  // namespace
}  // namespace virtio
