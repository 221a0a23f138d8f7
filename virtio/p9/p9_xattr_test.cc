// Extended attributes over 9P.

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/xattr.h>

#include <string>

#include "absl/strings/string_view.h"
#include "virtio/p9/testing/p9_changes_fixtures.h"
#include "virtio/p9/testing/p9_fixtures.h"

namespace virtio {
namespace {

constexpr uint32_t kRoot = P9Harness::kRoot;

class P9XattrTest : public P9ChangesTest {
 protected:
  void SetUp() override {
    if (setxattr(p9_.HostPath("file").c_str(), "user.host", "value", 5, 0) != 0) {
      GTEST_SKIP() << "the file system has no extended attributes";
    }
  }
  P9Harness::Result XattrWalk(uint32_t fid, uint32_t new_fid, absl::string_view name) {
    return p9_.Do(kP9XattrWalk, P9Bytes().Number(fid).Number(new_fid).String(name));
  }
  P9Harness::Result XattrCreate(uint32_t fid, absl::string_view name, uint64_t size,
                                uint32_t flags = 0) {
    return p9_.Do(kP9XattrCreate, P9Bytes().Number(fid).String(name).Number(size).Number(flags));
  }
  // Sets an attribute as Linux does. Returns 0 or an errno.
  int Set(absl::string_view name, absl::string_view value, uint32_t flags = 0) {
    const uint32_t fid = p9_.Find({"file"});
    if (const int error = XattrCreate(fid, name, value.size(), flags).error; error != 0) {
      EXPECT_EQ(p9_.Clunk(fid).error, 0);
      return error;
    }
    EXPECT_EQ(p9_.Write(fid, 0, value), static_cast<int>(value.size()));
    return p9_.Clunk(fid).error;
  }
  std::string HostValue(const std::string& name) {
    std::string value(70'000, 0);
    const ssize_t size =
        getxattr(p9_.HostPath("file").c_str(), name.c_str(), value.data(), value.size());
    return size < 0 ? "?" : value.substr(0, static_cast<size_t>(size));
  }
};

TEST_F(P9XattrTest, P9_xattrwalk_ValuesAreReadByAFid) {
  const uint32_t file = p9_.Find({"file"});
  EXPECT_EQ(XattrWalk(file, 50, "user.host").As<base::Le64>().value(), 5U);
  EXPECT_EQ(p9_.ReadText(50, 0, 100), "value");
  EXPECT_EQ(p9_.ReadText(50, 2, 2), "lu");
  EXPECT_EQ(p9_.ReadText(50, UINT64_MAX, 2), "");
  EXPECT_EQ(p9_.Write(50, 0, "x"), -EBADF);
  EXPECT_EQ(p9_.GetAttributes(50).error, EBADF);
  EXPECT_EQ(p9_.Walked(50, 51, {}), -EBADF);
  EXPECT_EQ(p9_.OfFid(kP9FSync, 50).error, EBADF);
  EXPECT_EQ(XattrWalk(file, 50, "user.host").error, EBADF);
  EXPECT_EQ(p9_.Clunk(50).error, 0);
  EXPECT_EQ(XattrWalk(file, 50, "").As<base::Le64>().value(), 10U);
  EXPECT_EQ(p9_.ReadText(50, 0, 100), std::string("user.host\0", 10));
  EXPECT_EQ(XattrWalk(file, 52, "user.none").error, ENODATA);
  EXPECT_EQ(XattrWalk(file, 52, "security.capability").error, EOPNOTSUPP);
  EXPECT_EQ(p9_.OfFid(kP9Remove, 50).error, EBADF);  // the file stays, the fid ends
  EXPECT_EQ(p9_.Clunk(50).error, EBADF);
  EXPECT_TRUE(IsOnHost("file"));
}

TEST_F(P9XattrTest, P9_xattrcreate_ClunkSetsTheValue) {
  const uint32_t fid = p9_.Find({"file"});
  EXPECT_EQ(XattrCreate(fid, "user.new", 6).error, 0);
  EXPECT_EQ(p9_.Write(fid, 0, "abc"), 3);
  EXPECT_EQ(p9_.Write(fid, 3, "def"), 3);
  EXPECT_EQ(p9_.Write(fid, 6, "x"), -ENOSPC);
  EXPECT_EQ(p9_.Read(fid, 0, 10).error, EBADF);
  EXPECT_EQ(HostValue("user.new"), "?");
  EXPECT_EQ(p9_.Clunk(fid).error, 0);
  EXPECT_EQ(HostValue("user.new"), "abcdef");
  EXPECT_EQ(Set("user.new", "x", XATTR_CREATE), EEXIST);
  EXPECT_EQ(Set("user.none", "x", XATTR_REPLACE), ENODATA);
  EXPECT_EQ(Set("user.empty", ""), 0);
  EXPECT_EQ(HostValue("user.empty"), "");
  EXPECT_EQ(Set("user.new", "", XATTR_REPLACE), 0);  // Linux removes like this
  EXPECT_EQ(HostValue("user.new"), "?");
  EXPECT_EQ(Set("user.new", "", XATTR_REPLACE), ENODATA);
  for (const char* name : {"trusted.x", "security.x", "system.posix_acl_access", "x", ""}) {
    EXPECT_EQ(Set(name, "x"), EOPNOTSUPP) << name;
  }
}

TEST_F(P9XattrTest, P9_xattrcreate_IncompleteValuesAreNotSet) {
  const uint32_t fid = p9_.Find({"file"});
  EXPECT_EQ(XattrCreate(fid, "user.half", 6).error, 0);
  EXPECT_EQ(p9_.Write(fid, 0, "abc"), 3);
  EXPECT_EQ(p9_.Clunk(fid).error, EINVAL);
  EXPECT_EQ(p9_.GetAttributes(fid).error, EBADF);  // the fid has ended
  EXPECT_EQ(HostValue("user.half"), "?");
  const uint32_t left = p9_.Find({"file"});
  EXPECT_EQ(XattrCreate(left, "user.half", 1).error, 0);
  EXPECT_EQ(p9_.Write(left, 0, "a"), 1);
  EXPECT_EQ(p9_.Version().error, 0);
  EXPECT_EQ(HostValue("user.half"), "?");
}

TEST_F(P9XattrTest, ValuesAreBounded) {
  const uint32_t fid = p9_.Find({"file"});
  for (const uint64_t size : {uint64_t{65537}, UINT64_MAX, uint64_t{1} << 63}) {
    EXPECT_EQ(XattrCreate(fid, "user.large", size).error, E2BIG);
  }
  int reserved = 0;
  while (reserved < 50 && XattrCreate(p9_.Find({"file"}), "user.large", 65536).error == 0) {
    ++reserved;
  }
  EXPECT_EQ(reserved, 15);  // 1 MiB with their names and bookkeeping
  EXPECT_EQ(p9_.Version().error, 0);
  EXPECT_EQ(p9_.Attach(kRoot).error, 0);
  EXPECT_EQ(Set("user.small", "x"), 0);
}

// In the lower layer of an overlay these attributes say which directories are opaque.
TEST(P9XattrReadOnly, UserAttributesAreServedWithoutAClosure) {
  const auto fill = [](const TemporaryTree& host) {
    host.Write("root/dir/file", "content");
    setxattr(host.Path("root/dir").c_str(), "user.overlay.opaque", "y", 1, 0);
  };
  P9Harness p9({}, fill);
  const auto walk = [](P9Harness& harness, absl::string_view name) {
    return harness.Do(kP9XattrWalk,
                      P9Bytes().Number(harness.Find({"dir"})).Number(50U).String(name));
  };
  const auto opaque = walk(p9, "user.overlay.opaque");
  if (opaque.error == ENODATA) GTEST_SKIP() << "the file system has no extended attributes";
  EXPECT_EQ(opaque.As<base::Le64>().value(), 1U);
  EXPECT_EQ(p9.ReadText(50, 0, 10), "y");
  EXPECT_EQ(p9.Clunk(50).error, 0);
  EXPECT_EQ(walk(p9, "security.capability").error, EOPNOTSUPP);
  P9Harness closure({.closure = "/nix/store/dir\n"}, fill);
  EXPECT_EQ(walk(closure, "user.overlay.opaque").error, EOPNOTSUPP);
}

}  // namespace
}  // namespace virtio
