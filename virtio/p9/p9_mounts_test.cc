// 9P shares below whose root other file systems of the host are mounted.

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "virtio/host_tree/testing/mount_fixtures.h"
#include "virtio/p9/testing/p9_fixtures.h"

namespace virtio {
namespace {

constexpr uint32_t kRoot = P9Harness::kRoot;

TEST(P9Mounts, FilesOfTwoFileSystemsHaveTwoQidsAndMountsTwoGenerations) {
  HostMounts mounts;
  if (!mounts.can_mount()) GTEST_SKIP() << "no right to mount";
  P9Harness p9({.writable = true, .submounts = true}, [&mounts](TemporaryTree& host) {
    for (const char* name : {"root/a", "root/b"}) {
      host.Directory(name);
      EXPECT_EQ(mounts.Add(host.Path(name), "tmpfs", "none", 0, "size=64k"), 0);
      host.Write(std::string(name) + "/x", name);
    }
    host.Directory("root/bound");
    EXPECT_EQ(mounts.Bind(host.Path("root/a"), host.Path("root/bound")), 0);
  });
  const auto attributes = [&p9](const std::vector<std::string>& names) {
    return p9.GetAttributes(p9.Find(names)).As<P9AttributesReply>();
  };
  std::set<uint64_t> paths;
  for (const char* name : {"a", "b"}) {
    const uint64_t directory = attributes({name}).qid.path.value();
    const uint64_t x = attributes({name, "x"}).qid.path.value();
    paths.insert({directory, x});
    const uint32_t root = p9.Find({});
    ASSERT_EQ(p9.Open(root).error, 0);
    for (const auto& listed : p9.List(root)) {
      if (listed.name == name) {
        EXPECT_EQ(listed.entry.qid.path.value(), directory);
      }
    }
    const uint32_t opened = p9.Find({name});
    ASSERT_EQ(p9.Open(opened).error, 0);
    for (const auto& listed : p9.List(opened)) {
      if (listed.name == "x") {
        EXPECT_EQ(listed.entry.qid.path.value(), x);
      }
    }
  }
  EXPECT_EQ(paths.size(), 4U);
  // A file that is reached by two mounts has one inode number, as cp expects. A guest that caches
  // must treat it as two files, so the generations differ.
  EXPECT_EQ(attributes({"a"}).qid.path.value(), attributes({"bound"}).qid.path.value());
  EXPECT_NE(attributes({"a"}).generation.value(), attributes({"bound"}).generation.value());
  EXPECT_EQ(attributes({}).generation.value(), 0U);
  EXPECT_NE(attributes({"a"}).valid.value() & kP9Generation, 0U);

  const auto bytes = [&p9](uint32_t fid) {
    const auto status = p9.OfFid(kP9StatFs, fid).As<P9StatFsReply>();
    return status.blocks.value() * status.block_bytes.value();
  };
  EXPECT_EQ(bytes(p9.Find({"a"})), 65536U);
  EXPECT_NE(bytes(kRoot), 65536U);
  mounts.RemoveAll();
}

}  // namespace
}  // namespace virtio
