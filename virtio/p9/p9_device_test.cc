#include "virtio/p9/p9_device.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "virtio/p9/testing/p9_fixtures.h"

namespace virtio {
namespace {

using testing::UnorderedElementsAre;
constexpr uint32_t kRoot = P9Harness::kRoot;

// --- Session -------------------------------------------------------------------------------------

TEST(P9Device, P9_config_HasTheTagWithoutNul) {
  P9Harness p9(StoreOptions(), FillStore);
  EXPECT_EQ(p9.device().type(), 9);
  EXPECT_EQ(p9.device().features() & 1, 1U);  // VIRTIO_9P_MOUNT_TAG
  EXPECT_EQ(p9.device().queue_sizes().size(), 1U);
  EXPECT_EQ(p9.device().config_size(), 7U);
  Bytes config(10, 0xee);
  p9.device().ReadConfig(0, config);
  EXPECT_EQ(config, (Bytes{5, 0, 's', 't', 'o', 'r', 'e', 0, 0, 0}));
  Bytes behind(4, 0xee);
  p9.device().ReadConfig(0xfffffffe, behind);
  EXPECT_EQ(behind, Bytes(4));
}

TEST(P9Device, P9_version_NegotiatesDialectAndSize) {
  P9Harness p9(StoreOptions(), FillStore);
  const auto agreed = [&p9](uint32_t bytes) {
    const auto result = p9.Version(bytes);
    EXPECT_EQ(result.Text(4), std::string("\x08\0", 2) + "9P2000.L");
    return result.As<base::Le32>().value();
  };
  EXPECT_EQ(agreed(4096), 4096U);
  EXPECT_EQ(agreed(512'000), 512'000U);
  EXPECT_EQ(agreed(UINT32_MAX), kP9MaxMessageBytes);
  EXPECT_EQ(p9.Version(4095).error, EMSGSIZE);
  EXPECT_EQ(p9.Version(0).error, EMSGSIZE);
  EXPECT_EQ(p9.Version(8192, "9P2000.u").Text(4), std::string("\x07\0", 2) + "unknown");
  EXPECT_EQ(p9.Attach(5).error, EPROTO);  // no size was agreed on
}

TEST(P9Device, P9_version_MessagesBeforeVersionAreRefused) {
  P9Harness::Options options = StoreOptions();
  options.attach = false;
  P9Harness p9(options, FillStore);
  for (int type = 0; type < 256; ++type) {
    if (type == kP9Version || type == kP9Flush) continue;
    EXPECT_NE(p9.Do(static_cast<uint8_t>(type), P9Bytes().Number(1U).Number(uint64_t{0})).error, 0)
        << type;
  }
  EXPECT_EQ(p9.Attach(kRoot).error, EPROTO);
  EXPECT_EQ(p9.Version().error, 0);
  EXPECT_EQ(p9.GetAttributes(kRoot).error, EBADF);
  EXPECT_EQ(p9.Attach(kRoot).error, 0);
  EXPECT_EQ(p9.GetAttributes(kRoot).error, 0);
}

TEST(P9Device, P9_version_EndsTheSessionAsAResetDoes) {
  P9Harness p9(StoreOptions(), FillStore);
  p9.ReadText(p9.Opened({"1-app", "bin", "tool"}), 0, 10);
  EXPECT_EQ(p9.counter("nodes"), 4U);
  EXPECT_EQ(p9.counter("fids"), 2U);
  EXPECT_EQ(p9.counter("open_files"), 1U);
  EXPECT_EQ(p9.Version().error, 0);
  for (const char* counter : {"fids", "open_files"}) EXPECT_EQ(p9.counter(counter), 0U) << counter;
  EXPECT_EQ(p9.counter("nodes"), 1U);
  EXPECT_EQ(p9.Attach(kRoot).error, 0);
  p9.ReadText(p9.Opened({"1-app", "bin", "tool"}), 0, 10);
  ASSERT_TRUE(p9.Stop());
  EXPECT_EQ(p9.counter("nodes"), 1U);
  EXPECT_EQ(p9.counter("fids"), 0U);
  EXPECT_EQ(p9.counter("open_files"), 0U);
  p9.Start();
  EXPECT_EQ(p9.ReadText(p9.Opened({"1-app", "bin", "tool"}), 0, 10), "content of");
}

TEST(P9Device, P9_attach_OnlyTheOneTreeCanBeAttached) {
  P9Harness p9(StoreOptions(), FillStore);
  EXPECT_EQ(p9.Attach(2, "/").error, 0);
  EXPECT_EQ(p9.Attach(3, "1-app").error, ENOENT);
  EXPECT_EQ(p9.Attach(3, "..").error, ENOENT);
  EXPECT_EQ(p9.Attach(2).error, EBADF);  // the fid is in use
  EXPECT_EQ(p9.Attach(kP9NoFid).error, EBADF);
  EXPECT_EQ(p9.Do(kP9Auth, P9Bytes().Number(9U).String("").String("")).error, EOPNOTSUPP);
}

// --- Walking -------------------------------------------------------------------------------------

TEST(P9Walk, P9_walk_StopsAtTheFirstMissingName) {
  P9Harness p9(StoreOptions(), FillStore);
  EXPECT_EQ(p9.Walked(kRoot, 2, {"1-app", "bin", "tool"}), 3);
  EXPECT_EQ(p9.GetAttributes(2).As<P9AttributesReply>().size_bytes.value(), 15U);
  EXPECT_EQ(p9.Walked(kRoot, 3, {"1-app", "none", "tool"}), 1);
  EXPECT_EQ(p9.Walked(kRoot, 3, {"1-app", "bin", "tool", "x"}), 3);
  EXPECT_EQ(p9.GetAttributes(3).error, EBADF);  // the walk failed: no fid
  EXPECT_EQ(p9.Walked(kRoot, 3, {"none", "1-app"}), -ENOENT);
  EXPECT_EQ(p9.Walked(2, 3, {"x"}), -ENOTDIR);
  EXPECT_EQ(p9.counter("nodes"), 4U);
  EXPECT_EQ(p9.counter("fids"), 2U);
}

TEST(P9Walk, P9_walk_WithoutNamesCopiesTheFid) {
  P9Harness p9(StoreOptions(), FillStore);
  const uint32_t tool = p9.Opened({"1-app", "bin", "tool"});
  EXPECT_EQ(p9.Walked(tool, 2, {}), 0);
  EXPECT_EQ(p9.Clunk(tool).error, 0);
  EXPECT_EQ(p9.Read(2, 0, 10).error, EBADF);  // a copy of a fid is not open
  EXPECT_EQ(p9.Open(2).error, 0);
  EXPECT_EQ(p9.ReadText(2, 0, 7), "content");
  EXPECT_EQ(p9.Walked(2, 2, {}), 0);
  EXPECT_EQ(p9.Clunk(2).error, 0);
  EXPECT_EQ(p9.counter("nodes"), 1U);
}

TEST(P9Walk, P9_walk_ReplacesItsOwnFidOnlyAfterSuccess) {
  P9Harness p9(StoreOptions(), FillStore);
  const uint32_t fid = p9.Find({"1-app"});
  EXPECT_EQ(p9.Walked(fid, fid, {"bin", "none"}), 1);
  EXPECT_EQ(p9.Walked(fid, fid, {"bin"}), 1);
  EXPECT_EQ(p9.Walked(fid, fid, {"tool"}), 1);
  EXPECT_EQ(p9.Clunk(fid).error, 0);
  EXPECT_EQ(p9.counter("nodes"), 1U);
}

TEST(P9Walk, P9_walk_RefusesFidsThatAreInUseOrUnknown) {
  P9Harness p9(StoreOptions(), FillStore);
  const uint32_t app = p9.Find({"1-app"});
  EXPECT_EQ(p9.Walked(kRoot, app, {}), -EBADF);
  EXPECT_EQ(p9.Walked(kRoot, kP9NoFid, {"1-app"}), -EBADF);
  EXPECT_EQ(p9.Walked(12345, 2, {}), -EBADF);
  EXPECT_EQ(p9.counter("fids"), 2U);
}

TEST(P9Walk, P9_walk_TheParentOfTheRootIsTheRoot) {
  P9Harness p9(StoreOptions(), FillStore);
  const auto inode = [&p9](const std::vector<std::string>& names) {
    const uint32_t fid = p9.Find(names);
    return p9.GetAttributes(fid).As<P9AttributesReply>().qid.path.value();
  };
  const uint64_t root = p9.host().Inode("root");
  EXPECT_EQ(inode({".."}), root);
  EXPECT_EQ(inode({"..", "..", ".."}), root);
  EXPECT_EQ(inode({"1-app", ".."}), root);
  EXPECT_EQ(inode({"1-app", "bin", "..", "..", ".."}), root);
  EXPECT_EQ(inode({"1-app", "bin", "..", "big"}), p9.host().Inode("root/1-app/big"));
  EXPECT_EQ(p9.Walked(kRoot, 2, {"..", "root"}), 1);
  EXPECT_EQ(p9.Walked(kRoot, 2, {"1-app", "..", "2-secret"}), 2);
  EXPECT_EQ(p9.Walked(kRoot, 2, {"1-app", "big", ".."}), 2);
}

// An open directory that the host moves out of the share stays open. Its parents stay in the share.
TEST(P9Walk, TheParentOfADirectoryMovedOutStaysInTheShare) {
  P9Harness p9({}, FillStore);
  const uint32_t bin = p9.Find({"1-app", "bin"});
  EXPECT_EQ(p9.Open(bin).error, 0);
  p9.host().Rename("root/1-app/bin", "bin");
  EXPECT_EQ(p9.Walked(bin, 2, {"..", ".."}), 2);
  EXPECT_EQ(p9.GetAttributes(2).As<P9AttributesReply>().qid.path.value(), p9.host().Inode("root"));
  p9.host().Rename("root/1-app", "app");
  EXPECT_EQ(p9.Walked(bin, 3, {"..", "..", "..", "bin"}), 3);
}

TEST(P9Walk, HostileNamesAreRefused) {
  P9Harness p9(StoreOptions(), FillStore);
  const uint32_t app = p9.Find({"1-app"});
  for (const absl::string_view name :
       {absl::string_view(""), absl::string_view("."), absl::string_view("/"),
        absl::string_view("bin/tool"), absl::string_view("../2-secret"),
        absl::string_view("bin\0", 4), absl::string_view("\0", 1), absl::string_view("/etc")}) {
    EXPECT_EQ(p9.Walked(app, 2, {std::string(name)}), -EINVAL) << name;
    EXPECT_EQ(p9.Walked(kRoot, 2, {"1-app", std::string(name)}), 1) << name;
    EXPECT_LT(p9.Walked(kRoot, 2, {std::string(name), "2-secret"}), 0) << name;
  }
  EXPECT_EQ(p9.Walked(app, 2, {std::string(4096, 'x')}), -ENAMETOOLONG);
  EXPECT_EQ(p9.Walked(app, 2, {std::string(255, 'x')}), -ENOENT);
  EXPECT_EQ(p9.Walked(app, 2, {"\xff\xfe\x80"}), -ENOENT);  // any bytes are a valid name
  p9.host().Write("root/1-app/\xff\xfe\x80", "odd");
  EXPECT_EQ(p9.ReadText(p9.Opened({"1-app", "\xff\xfe\x80"}), 0, 10), "odd");
}

TEST(P9Walk, FidsAreBounded) {
  P9Harness p9(StoreOptions(), FillStore);  // allows 100 fids; the root has one
  for (uint32_t fid = 2; fid <= 100; ++fid) EXPECT_EQ(p9.Walked(kRoot, fid, {"1-app"}), 1);
  EXPECT_EQ(p9.Walked(kRoot, 101, {"1-app", "bin"}), -ENFILE);
  EXPECT_EQ(p9.Walked(kRoot, 101, {}), -ENFILE);
  EXPECT_EQ(p9.Attach(101).error, ENFILE);
  EXPECT_EQ(p9.Walked(2, 2, {"bin"}), 1);  // needs no further fid
  EXPECT_EQ(p9.counter("nodes"), 3U);
  EXPECT_EQ(p9.Clunk(2).error, 0);
  EXPECT_EQ(p9.Walked(kRoot, 101, {"1-app"}), 1);
  for (uint32_t fid = 3; fid <= 101; ++fid) EXPECT_EQ(p9.Clunk(fid).error, 0);
  EXPECT_EQ(p9.counter("nodes"), 1U);
}

TEST(P9Walk, P9_clunk_ClunkedAndUnknownFidsAreRefused) {
  P9Harness p9(StoreOptions(), FillStore);
  const uint32_t app = p9.Find({"1-app"});
  EXPECT_EQ(p9.Clunk(app).error, 0);
  const auto secret = static_cast<uint32_t>(p9.host().Inode("root/2-secret/key"));
  for (const uint32_t fid : {app, 0U, 2U, secret, 0x7fffffffU, kP9NoFid}) {
    for (const uint8_t type : {kP9GetAttr, kP9ReadLink, kP9StatFs, kP9FSync, kP9Clunk, kP9Remove}) {
      EXPECT_EQ(p9.OfFid(type, fid).error, EBADF) << int{type} << " " << fid;
    }
    EXPECT_EQ(p9.Open(fid).error, EBADF);
    EXPECT_EQ(p9.Read(fid, 0, 10).error, EBADF);
    EXPECT_EQ(p9.Do(kP9ReadDir, P9Harness::ReadArguments(fid, 0, 512)).error, EBADF);
    EXPECT_EQ(p9.Walked(fid, 3, {"key"}), -EBADF);
  }
  EXPECT_EQ(p9.counter("nodes"), 1U);
  EXPECT_EQ(p9.Walked(kRoot, app, {"1-app"}), 1);  // the number can be used again
}

// --- Store mode ----------------------------------------------------------------------------------

TEST(P9Store, OnlyTheClosureIsVisible) {
  P9Harness p9(StoreOptions(), FillStore);
  const uint32_t root = p9.Opened({});
  const uint32_t app = p9.Find({"1-app"});
  EXPECT_THAT(Names(p9.List(root)), UnorderedElementsAre(".", "..", "1-app"));
  EXPECT_EQ(p9.Walked(kRoot, 2, {"2-secret"}), -ENOENT);
  EXPECT_EQ(p9.Walked(kRoot, 2, {"2-secret", "key"}), -ENOENT);
  EXPECT_EQ(p9.Walked(kRoot, 2, {"..", "2-secret", "key"}), 1);
  EXPECT_EQ(p9.Walked(app, 2, {"..", "2-secret", "key"}), 1);
  EXPECT_EQ(p9.Walked(app, 2, {"bin", "..", "..", "2-secret"}), 3);
  EXPECT_EQ(p9.Walked(app, 2, {"link", "key"}), 1);  // the guest resolves links
  EXPECT_EQ(p9.OfFid(kP9ReadLink, p9.Find({"1-app", "link"})).Text(2), "../2-secret/key");
  EXPECT_EQ(p9.OfFid(kP9ReadLink, app).error, EINVAL);
  EXPECT_EQ(p9.Open(p9.Find({"1-app", "link"})).error, EACCES);
}

TEST(P9Store, NamesAddedToTheClosureAppear) {
  P9Harness p9(StoreOptions(), FillStore);
  EXPECT_EQ(p9.Walked(kRoot, 2, {"2-secret"}), -ENOENT);
  p9.host().Write("closure", "/nix/store/2-secret\n");
  ASSERT_TRUE(p9.tree().RereadClosure().ok());
  EXPECT_EQ(p9.Walked(kRoot, 2, {"2-secret"}), 1);
  EXPECT_EQ(p9.Walked(kRoot, 3, {"1-app"}), 1);
}

TEST(P9Store, P9_qid_HasInodeTypeAndVersion) {
  P9Harness p9(StoreOptions(), FillStore);
  const auto walk = p9.Walk(kRoot, 2, {"1-app", "big"});
  const auto qids = walk.Text(2);
  ASSERT_EQ(qids.size(), 2 * sizeof(P9Qid));
  P9Qid qid[2];
  std::memcpy(qid, qids.data(), sizeof(qid));
  EXPECT_EQ(qid[0].type, kP9QidDirectory);
  EXPECT_EQ(qid[1].type, 0);
  EXPECT_EQ(qid[0].path.value(), p9.host().Inode("root/1-app"));
  EXPECT_EQ(qid[1].path.value(), p9.host().Inode("root/1-app/big"));
  EXPECT_EQ(qid[1].version.value(), 1U);
  EXPECT_EQ(p9.Open(2).As<P9Qid>().version.value(), 1U);
  EXPECT_EQ(p9.GetAttributes(2).As<P9AttributesReply>().qid.version.value(), 1U);
  p9.host().Write("root/1-app/big", "changed");
  EXPECT_EQ(p9.GetAttributes(2).As<P9AttributesReply>().qid.version.value(), 1U);
  const auto link = p9.GetAttributes(p9.Find({"1-app", "link"})).As<P9AttributesReply>();
  EXPECT_EQ(link.qid.type, kP9QidSymLink);
}

TEST(P9Caching, QidVersionsChangeWithTheContentsOrAreZero) {
  const auto versions = [](P9Versions mode) {
    P9Harness p9({.versions = mode}, FillStore);
    const uint32_t big = p9.Find({"1-app", "big"});
    std::vector<uint32_t> seen;
    for (int i = 0; i < 2; ++i) {
      const auto walked = p9.Walk(kRoot, 2, {"1-app", "big"}).Text(2 + sizeof(P9Qid));
      P9Qid qid;
      std::memcpy(&qid, walked.data(), std::min(sizeof(qid), walked.size()));
      seen.push_back(p9.GetAttributes(big).As<P9AttributesReply>().qid.version.value());
      EXPECT_EQ(qid.version.value(), seen.back());
      EXPECT_EQ(p9.Clunk(2).error, 0);
      p9.host().Write("root/1-app/big", "changed");
    }
    return seen;
  };
  const auto contents = versions(P9Versions::kContents);
  EXPECT_NE(contents[0], 0U);
  EXPECT_NE(contents[1], 0U);
  EXPECT_NE(contents[0], contents[1]);
  EXPECT_EQ(versions(P9Versions::kNone), (std::vector<uint32_t>{0, 0}));
}

TEST(P9Caching, P9_lopen_AnOpenFileStaysWhenTheHostReplacesIt) {
  for (const P9Versions mode : {P9Versions::kContents, P9Versions::kNone}) {
    P9Harness p9({.versions = mode}, FillStore);
    const uint32_t big = p9.Find({"1-app", "big"});
    EXPECT_EQ(p9.Open(big).error, 0);
    const std::string before = p9.ReadText(big, 0, 1000);
    p9.host().Write("root/1-app/new", "upgraded");
    p9.host().Rename("root/1-app/new", "root/1-app/big");
    EXPECT_EQ(p9.ReadText(big, 0, 1000), before);
    EXPECT_EQ(p9.GetAttributes(big).error, 0);
    EXPECT_EQ(p9.Clunk(big).error, 0);
    EXPECT_EQ(p9.counter("open_files"), 0U);
  }
}

TEST(P9Store, P9_getattr_ReturnsTheHostsAttributes) {
  P9Harness p9(StoreOptions(), [](const TemporaryTree& host) {
    FillStore(host);
    const timespec times[2] = {{-5, 7}, {1234567890, 123456789}};
    const std::string path = host.Path("root/1-app/bin/tool");
    CHECK(chmod(path.c_str(), 0751) == 0 && utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
  });
  const auto tool = p9.GetAttributes(p9.Find({"1-app", "bin", "tool"})).As<P9AttributesReply>();
  EXPECT_EQ(tool.valid.value(), kP9BasicAttributes | kP9Generation);
  EXPECT_EQ(tool.mode.value(), uint32_t{S_IFREG | 0751});
  EXPECT_EQ(tool.size_bytes.value(), 15U);
  EXPECT_EQ(tool.links.value(), 1U);
  EXPECT_EQ(tool.uid.value(), getuid());
  EXPECT_EQ(static_cast<int64_t>(tool.accessed.seconds.value()), -5);
  EXPECT_EQ(tool.accessed.nanoseconds.value(), 7U);
  EXPECT_EQ(tool.modified.seconds.value(), 1234567890U);
  EXPECT_EQ(tool.modified.nanoseconds.value(), 123456789U);
  // The number of links of the root would tell how many directories the host has there.
  EXPECT_EQ(p9.GetAttributes(kRoot).As<P9AttributesReply>().links.value(), 1U);
  const auto file_system = p9.OfFid(kP9StatFs, kRoot).As<P9StatFsReply>();
  EXPECT_EQ(file_system.type.value(), 0x01021997U);
  EXPECT_GT(file_system.blocks.value(), 0U);
  EXPECT_EQ(file_system.max_name_bytes.value(), 255U);
}

TEST(P9Store, P9_readdir_ReturnsWholeEntriesThatFit) {
  P9Harness p9(StoreOptions(), FillStore);
  const uint32_t many = p9.Opened({"1-app", "many"});
  const auto listed = p9.List(many, 300);
  EXPECT_EQ(listed.size(), 52U);
  EXPECT_EQ(Names(listed).size(), 52U);
  EXPECT_EQ(p9.counter("nodes"), 3U);  // listing holds no nodes
  for (const auto& entry : listed) {
    if (entry.name[0] == '.') continue;
    EXPECT_EQ(entry.entry.type, DT_REG);
    EXPECT_EQ(entry.entry.qid.path.value(), p9.host().Inode("root/1-app/many/" + entry.name));
  }
  // An entry that does not fit is an error, not the end of the directory. So is a count of 0.
  for (const uint32_t count : {0U, 1U, 24U}) {
    EXPECT_EQ(p9.Do(kP9ReadDir, P9Harness::ReadArguments(many, 0, count)).error, EINVAL);
  }
  for (const uint64_t offset : {uint64_t{UINT64_MAX}, uint64_t{1} << 63}) {
    EXPECT_EQ(p9.Do(kP9ReadDir, P9Harness::ReadArguments(many, offset, 512)).error, EINVAL);
  }
  EXPECT_EQ(p9.Do(kP9ReadDir, P9Harness::ReadArguments(many, 0, UINT32_MAX), 20'000).error, 0);
  EXPECT_EQ(p9.Do(kP9ReadDir, P9Harness::ReadArguments(p9.Find({"1-app"}), 0, 512)).error, EBADF);
  const uint32_t tool = p9.Opened({"1-app", "bin", "tool"});
  EXPECT_EQ(p9.Do(kP9ReadDir, P9Harness::ReadArguments(tool, 0, 512)).error, ENOTDIR);
}

TEST(P9Store, RefusesWrites) {
  P9Harness p9(StoreOptions(), FillStore);
  const uint32_t tool = p9.Find({"1-app", "bin", "tool"});
  const uint32_t app = p9.Find({"1-app"});
  EXPECT_EQ(p9.Create(app, "new", O_RDWR, 0644).error, EROFS);
  EXPECT_EQ(p9.MakeDirectory(app, "new").error, EROFS);
  EXPECT_EQ(p9.MakeNode(app, "new", S_IFIFO | 0644).error, EROFS);
  EXPECT_EQ(p9.MakeLink(app, "new", "target").error, EROFS);
  EXPECT_EQ(p9.Link(app, tool, "new").error, EROFS);
  EXPECT_EQ(p9.RenameAt(app, "big", app, "new").error, EROFS);
  EXPECT_EQ(p9.Do(kP9Rename, P9Bytes().Number(tool).Number(app).String("new")).error, EROFS);
  EXPECT_EQ(p9.Unlink(app, "big").error, EROFS);
  EXPECT_EQ(p9.Unlink(app, "bin", AT_REMOVEDIR).error, EROFS);
  EXPECT_EQ(p9.SetAttributes(tool, {.valid = kP9SetMode, .mode = 0777}).error, EROFS);
  EXPECT_EQ(
      p9.Do(kP9XattrCreate, P9Bytes().Number(tool).String("user.a").Number(uint64_t{1}).Number(0U))
          .error,
      EROFS);
  for (const int flags : {O_WRONLY, O_RDWR, O_ACCMODE, O_TRUNC, O_WRONLY | O_APPEND}) {
    EXPECT_EQ(p9.Open(tool, static_cast<uint32_t>(flags)).error, EROFS) << flags;
  }
  EXPECT_EQ(p9.Open(tool, O_DIRECTORY).error, ENOTDIR);
  EXPECT_EQ(p9.Read(tool, 0, 10).error, EBADF);  // no open has succeeded
  EXPECT_EQ(p9.Open(tool, O_CREAT | O_NONBLOCK).error, 0);
  EXPECT_EQ(p9.Write(tool, 0, "x"), -EROFS);
  EXPECT_EQ(p9.OfFid(kP9FSync, tool).error, 0);
  // The fid ends although the file stays.
  EXPECT_EQ(p9.OfFid(kP9Remove, tool).error, EROFS);
  EXPECT_EQ(p9.OfFid(kP9Remove, tool).error, EBADF);
  EXPECT_EQ(p9.Walked(kRoot, tool, {"1-app", "bin", "tool"}), 3);
  EXPECT_EQ(p9.counter("written_bytes"), 0U);
}

TEST(P9Store, P9_error_UnservedMessagesGetAnError) {
  P9Harness p9(StoreOptions(), FillStore);
  for (const int type : {0, 6, 7, 111, 255}) {
    EXPECT_EQ(p9.Do(static_cast<uint8_t>(type), P9Bytes().Number(kRoot)).error, EOPNOTSUPP) << type;
  }
  EXPECT_EQ(p9.Do(kP9XattrWalk, P9Bytes().Number(kRoot).Number(9U).String("user.a")).error,
            EOPNOTSUPP);
  const uint32_t tool = p9.Opened({"1-app", "bin", "tool"});
  EXPECT_EQ(p9.Lock(tool, kP9ReadLock, 0, 0, 1), -EOPNOTSUPP);
  EXPECT_EQ(p9.counter("other_requests"), 5U);
  EXPECT_EQ(p9.counter("xattrwalk"), 1U);
  EXPECT_EQ(p9.counter("attach"), 1U);
}

TEST(P9Store, PipesAndDevicesOfTheHostAreNotOpened) {
  P9Harness p9(StoreOptions(), [](const TemporaryTree& host) {
    FillStore(host);
    CHECK(mkfifo(host.Path("root/1-app/pipe").c_str(), 0644) == 0);
  });
  EXPECT_EQ(p9.Open(p9.Find({"1-app", "pipe"})).error, EACCES);
}

}  // namespace
}  // namespace virtio
