#include "virtio/p9/p9_device.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <random>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "virtio/p9/p9_test_harness.h"

namespace virtio {
namespace {

using testing::UnorderedElementsAre;
constexpr uint32_t kRoot = P9Harness::kRoot;

std::string RandomText(size_t bytes) {
  std::mt19937_64 random(bytes);
  std::string text(bytes, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

void FillStore(const TemporaryTree& host) {
  host.Write("root/1-app/bin/tool", "content of tool");
  host.Write("root/1-app/big", RandomText(300'000));
  host.Link("../2-secret/key", "root/1-app/link");
  host.Write("root/2-secret/key", "secret");
  for (int i = 0; i < 50; ++i) host.Write(absl::StrCat("root/1-app/many/file-", i), "x");
}

P9Harness::Options StoreOptions() { return {.closure = "/nix/store/1-app\n"}; }

std::set<std::string> Names(const std::vector<P9Harness::Listed>& listed) {
  std::set<std::string> names;
  for (const auto& entry : listed) names.insert(entry.name);
  return names;
}

// --- Session -------------------------------------------------------------------------------------

TEST(P9Device, ConfigurationHasTheTag) {
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

TEST(P9Device, NegotiatesVersionAndSize) {
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
  EXPECT_EQ(p9.Attach(5).error, EPROTO);  // nothing was agreed on
}

TEST(P9Device, NothingBeforeVersion) {
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

TEST(P9Device, VersionAndResetForgetEverything) {
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

TEST(P9Device, AttachesToTheOneTree) {
  P9Harness p9(StoreOptions(), FillStore);
  EXPECT_EQ(p9.Attach(2, "/").error, 0);
  EXPECT_EQ(p9.Attach(3, "1-app").error, ENOENT);
  EXPECT_EQ(p9.Attach(3, "..").error, ENOENT);
  EXPECT_EQ(p9.Attach(2).error, EBADF);  // in use
  EXPECT_EQ(p9.Attach(kP9NoFid).error, EBADF);
  EXPECT_EQ(p9.Do(kP9Auth, P9Bytes().Number(9U).String("").String("")).error, EOPNOTSUPP);
}

// --- Walking -------------------------------------------------------------------------------------

TEST(P9Walk, TakesSeveralNamesAndStopsAtTheFirstThatIsNotThere) {
  P9Harness p9(StoreOptions(), FillStore);
  EXPECT_EQ(p9.Walked(kRoot, 2, {"1-app", "bin", "tool"}), 3);
  EXPECT_EQ(p9.GetAttributes(2).As<P9AttributesReply>().size_bytes.value(), 15U);
  EXPECT_EQ(p9.Walked(kRoot, 3, {"1-app", "none", "tool"}), 1);
  EXPECT_EQ(p9.Walked(kRoot, 3, {"1-app", "bin", "tool", "x"}), 3);
  EXPECT_EQ(p9.GetAttributes(3).error, EBADF);  // not the whole way: no fid
  EXPECT_EQ(p9.Walked(kRoot, 3, {"none", "1-app"}), -ENOENT);
  EXPECT_EQ(p9.Walked(2, 3, {"x"}), -ENOTDIR);
  EXPECT_EQ(p9.counter("nodes"), 4U);
  EXPECT_EQ(p9.counter("fids"), 2U);
}

TEST(P9Walk, WithoutNamesMakesAClone) {
  P9Harness p9(StoreOptions(), FillStore);
  const uint32_t tool = p9.Opened({"1-app", "bin", "tool"});
  EXPECT_EQ(p9.Walked(tool, 2, {}), 0);
  EXPECT_EQ(p9.Clunk(tool).error, 0);
  EXPECT_EQ(p9.Read(2, 0, 10).error, EBADF);  // a clone is not open
  EXPECT_EQ(p9.Open(2).error, 0);
  EXPECT_EQ(p9.ReadText(2, 0, 7), "content");
  EXPECT_EQ(p9.Walked(2, 2, {}), 0);
  EXPECT_EQ(p9.Clunk(2).error, 0);
  EXPECT_EQ(p9.counter("nodes"), 1U);
}

TEST(P9Walk, ReplacesTheFidItBeginsAtOnlyAtTheEnd) {
  P9Harness p9(StoreOptions(), FillStore);
  const uint32_t fid = p9.Find({"1-app"});
  EXPECT_EQ(p9.Walked(fid, fid, {"bin", "none"}), 1);
  EXPECT_EQ(p9.Walked(fid, fid, {"bin"}), 1);
  EXPECT_EQ(p9.Walked(fid, fid, {"tool"}), 1);
  EXPECT_EQ(p9.Clunk(fid).error, 0);
  EXPECT_EQ(p9.counter("nodes"), 1U);
}

TEST(P9Walk, DoesNotTakeFidsThatAreInUseOrUnknown) {
  P9Harness p9(StoreOptions(), FillStore);
  const uint32_t app = p9.Find({"1-app"});
  EXPECT_EQ(p9.Walked(kRoot, app, {}), -EBADF);
  EXPECT_EQ(p9.Walked(kRoot, kP9NoFid, {"1-app"}), -EBADF);
  EXPECT_EQ(p9.Walked(12345, 2, {}), -EBADF);
  EXPECT_EQ(p9.counter("fids"), 2U);
}

TEST(P9Walk, ParentsEndAtTheRoot) {
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

// What the host moves out of the share stays open, and leads nowhere else.
TEST(P9Walk, ParentOfWhatWasMovedOutIsNotTheHosts) {
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
  EXPECT_EQ(p9.Walked(app, 2, {"\xff\xfe\x80"}), -ENOENT);  // any bytes are a name
  p9.host().Write("root/1-app/\xff\xfe\x80", "odd");
  EXPECT_EQ(p9.ReadText(p9.Opened({"1-app", "\xff\xfe\x80"}), 0, 10), "odd");
}

TEST(P9Walk, FidsAreBounded) {
  P9Harness p9(StoreOptions(), FillStore);  // 100, one of them the root's
  for (uint32_t fid = 2; fid <= 100; ++fid) EXPECT_EQ(p9.Walked(kRoot, fid, {"1-app"}), 1);
  EXPECT_EQ(p9.Walked(kRoot, 101, {"1-app", "bin"}), -ENFILE);
  EXPECT_EQ(p9.Walked(kRoot, 101, {}), -ENFILE);
  EXPECT_EQ(p9.Attach(101).error, ENFILE);
  EXPECT_EQ(p9.Walked(2, 2, {"bin"}), 1);  // takes no other
  EXPECT_EQ(p9.counter("nodes"), 3U);
  EXPECT_EQ(p9.Clunk(2).error, 0);
  EXPECT_EQ(p9.Walked(kRoot, 101, {"1-app"}), 1);
  for (uint32_t fid = 3; fid <= 101; ++fid) EXPECT_EQ(p9.Clunk(fid).error, 0);
  EXPECT_EQ(p9.counter("nodes"), 1U);
}

TEST(P9Walk, UnknownAndClunkedFidsAreNobodys) {
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

TEST(P9Store, OnlyTheClosureIsThere) {
  P9Harness p9(StoreOptions(), FillStore);
  const uint32_t root = p9.Opened({});
  const uint32_t app = p9.Find({"1-app"});
  EXPECT_THAT(Names(p9.List(root)), UnorderedElementsAre(".", "..", "1-app"));
  EXPECT_EQ(p9.Walked(kRoot, 2, {"2-secret"}), -ENOENT);
  EXPECT_EQ(p9.Walked(kRoot, 2, {"2-secret", "key"}), -ENOENT);
  EXPECT_EQ(p9.Walked(kRoot, 2, {"..", "2-secret", "key"}), 1);
  EXPECT_EQ(p9.Walked(app, 2, {"..", "2-secret", "key"}), 1);
  EXPECT_EQ(p9.Walked(app, 2, {"bin", "..", "..", "2-secret"}), 3);
  EXPECT_EQ(p9.Walked(app, 2, {"link", "key"}), 1);  // links are the guest's
  EXPECT_EQ(p9.OfFid(kP9ReadLink, p9.Find({"1-app", "link"})).Text(2), "../2-secret/key");
  EXPECT_EQ(p9.OfFid(kP9ReadLink, app).error, EINVAL);
  EXPECT_EQ(p9.Open(p9.Find({"1-app", "link"})).error, EACCES);
}

TEST(P9Store, ClosureGrows) {
  P9Harness p9(StoreOptions(), FillStore);
  EXPECT_EQ(p9.Walked(kRoot, 2, {"2-secret"}), -ENOENT);
  p9.host().Write("closure", "/nix/store/2-secret\n");
  ASSERT_TRUE(p9.tree().RereadClosure().ok());
  EXPECT_EQ(p9.Walked(kRoot, 2, {"2-secret"}), 1);
  EXPECT_EQ(p9.Walked(kRoot, 3, {"1-app"}), 1);
}

TEST(P9Store, QidsHaveInodesTypesAndAVersion) {
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

TEST(P9Caching, VersionsFollowTheContentsOrSayNothing) {
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

TEST(P9Store, AttributesAreTheHosts) {
  P9Harness p9(StoreOptions(), [](const TemporaryTree& host) {
    FillStore(host);
    const timespec times[2] = {{-5, 7}, {1234567890, 123456789}};
    const std::string path = host.Path("root/1-app/bin/tool");
    CHECK(chmod(path.c_str(), 0751) == 0 && utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
  });
  const auto tool = p9.GetAttributes(p9.Find({"1-app", "bin", "tool"})).As<P9AttributesReply>();
  EXPECT_EQ(tool.valid.value(), kP9BasicAttributes);
  EXPECT_EQ(tool.mode.value(), uint32_t{S_IFREG | 0751});
  EXPECT_EQ(tool.size_bytes.value(), 15U);
  EXPECT_EQ(tool.links.value(), 1U);
  EXPECT_EQ(tool.uid.value(), getuid());
  EXPECT_EQ(static_cast<int64_t>(tool.accessed.seconds.value()), -5);
  EXPECT_EQ(tool.accessed.nanoseconds.value(), 7U);
  EXPECT_EQ(tool.modified.seconds.value(), 1234567890U);
  EXPECT_EQ(tool.modified.nanoseconds.value(), 123456789U);
  // The root's would tell what else there is.
  EXPECT_EQ(p9.GetAttributes(kRoot).As<P9AttributesReply>().links.value(), 1U);
  const auto file_system = p9.OfFid(kP9StatFs, kRoot).As<P9StatFsReply>();
  EXPECT_EQ(file_system.type.value(), 0x01021997U);
  EXPECT_GT(file_system.blocks.value(), 0U);
  EXPECT_EQ(file_system.max_name_bytes.value(), 255U);
}

TEST(P9Store, ListsInPieces) {
  P9Harness p9(StoreOptions(), FillStore);
  const uint32_t many = p9.Opened({"1-app", "many"});
  const auto listed = p9.List(many, 300);
  EXPECT_EQ(listed.size(), 52U);
  EXPECT_EQ(Names(listed).size(), 52U);
  EXPECT_EQ(p9.counter("nodes"), 3U);  // listing holds nothing
  for (const auto& entry : listed) {
    if (entry.name[0] == '.') continue;
    EXPECT_EQ(entry.entry.type, DT_REG);
    EXPECT_EQ(entry.entry.qid.path.value(), p9.host().Inode("root/1-app/many/" + entry.name));
  }
  // An entry that does not fit is no end; nor is a count of nothing.
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
  EXPECT_EQ(p9.Read(tool, 0, 10).error, EBADF);  // none of these opened it
  EXPECT_EQ(p9.Open(tool, O_CREAT | O_NONBLOCK).error, 0);
  EXPECT_EQ(p9.Write(tool, 0, "x"), -EROFS);
  EXPECT_EQ(p9.OfFid(kP9FSync, tool).error, 0);
  // The fid is gone although the file is not.
  EXPECT_EQ(p9.OfFid(kP9Remove, tool).error, EROFS);
  EXPECT_EQ(p9.OfFid(kP9Remove, tool).error, EBADF);
  EXPECT_EQ(p9.Walked(kRoot, tool, {"1-app", "bin", "tool"}), 3);
  EXPECT_EQ(p9.counter("written_bytes"), 0U);
}

TEST(P9Store, WhatIsNotServedSaysSo) {
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

// --- Data path -----------------------------------------------------------------------------------

TEST(P9Queue, Reads) {
  P9Harness p9(StoreOptions(), FillStore);
  const uint32_t tool = p9.Opened({"1-app", "bin", "tool"});
  EXPECT_EQ(p9.ReadText(tool, 0, 4096), "content of tool");
  EXPECT_EQ(p9.ReadText(tool, 11, 2), "to");
  EXPECT_EQ(p9.ReadText(tool, 15, 10), "");
  EXPECT_EQ(p9.ReadText(tool, 1 << 20, 10), "");
  EXPECT_EQ(p9.ReadText(tool, 0, 0), "");
  EXPECT_EQ(p9.ReadText(p9.Opened({"1-app", "big"}), 1000, 200'000),
            RandomText(300'000).substr(1000, 200'000));
  EXPECT_EQ(p9.Read(p9.Opened({"1-app"}), 0, 10).error, EISDIR);
  EXPECT_EQ(p9.Read(tool, UINT64_MAX, 10).error, EINVAL);
  EXPECT_EQ(p9.Read(tool, INT64_MAX, 10).error, EINVAL);
  EXPECT_EQ(p9.counter("read_bytes"), 200'017U);
}

TEST(P9Queue, AnswersAreNeverLongerThanAgreed) {
  P9Harness p9(StoreOptions(), FillStore);
  p9.host().Link(std::string(4095, 'x'), "root/1-app/long");
  EXPECT_EQ(p9.OfFid(kP9ReadLink, p9.Find({"1-app", "long"})).error, EMSGSIZE);  // no room
  EXPECT_EQ(p9.Do(kP9ReadLink, P9Bytes().Number(p9.Find({"1-app", "long"})), 8192).Text(2),
            std::string(4095, 'x'));
  EXPECT_EQ(p9.Version(4096).error, 0);
  EXPECT_EQ(p9.Attach(kRoot).error, 0);
  EXPECT_EQ(p9.Do(kP9ReadLink, P9Bytes().Number(p9.Find({"1-app", "long"})), 8192).error, EMSGSIZE);
  const auto read = p9.Read(p9.Opened({"1-app", "big"}), 0, 100'000);
  EXPECT_EQ(read.data.size() + 7, 4096U);
  EXPECT_EQ(read.Text(4), RandomText(300'000).substr(0, 4096 - 11));
}

TEST(P9Queue, FramingMeansNothing) {  // [VIRTIO 1.2 §2.7.4]
  P9Harness p9(StoreOptions(), FillStore);
  const uint32_t big = p9.Opened({"1-app", "big"});
  const std::string content = RandomText(300'000);
  for (const uint32_t first : {1u, 6u, 7u, 10u, 11u, 12u, 100u}) {
    const Bytes request = P9Harness::ReadArguments(big, 500, 40).Message(kP9Read, 9);
    auto builder = p9.driver().Chain();
    builder.Readable(std::span(request).first(3)).Readable(std::span(request).subspan(3));
    builder.Writable(first).Writable(5).Writable(3).Writable(64);
    p9.driver().EnableInterrupts();
    const uint16_t head = builder.Offer();
    p9.harness().Publish(0);
    EXPECT_EQ(p9.Take(head, kP9Read, 9).Text(4), content.substr(500, 40)) << first;
    // What is behind the answer is not touched.
    const Bytes all = p9.driver().WritableBytes(head);
    EXPECT_EQ(Bytes(all.begin() + 11 + 40, all.end()), Bytes(all.size() - 51, 0xEE));
  }
}

TEST(P9Queue, WithoutRoomForAnAnswerNothingIsDone) {
  P9Harness p9(StoreOptions(), FillStore);
  const P9Bytes walk = P9Bytes().Number(kRoot).Number(2U).Number(uint16_t{1}).String("1-app");
  for (const uint32_t room : {0u, 1u, 10u}) {
    auto builder = p9.driver().Chain();
    builder.Readable(walk.Message(kP9Walk, 3));
    if (room > 0) builder.Writable(room);
    p9.driver().EnableInterrupts();
    builder.Offer();
    p9.harness().Publish(0);
    EXPECT_EQ(p9.driver().PopUsed()->len, 0U);
  }
  EXPECT_EQ(p9.counter("requests_without_room"), 3U);
  EXPECT_EQ(p9.Do(kP9Walk, walk, 14).error, EMSGSIZE);
  EXPECT_EQ(p9.Do(kP9GetAttr, P9Bytes().Number(kRoot), 152).error, EMSGSIZE);
  EXPECT_EQ(p9.counter("nodes"), 1U);
  EXPECT_EQ(p9.counter("fids"), 1U);
}

TEST(P9Queue, ShortReadsGoOn) {
  P9Harness::Options options = StoreOptions();
  options.harness.loop = {.seed = 5, .short_transfer_percent = 80, .short_transfer_unit_bytes = 1};
  P9Harness p9(options, FillStore);
  EXPECT_EQ(p9.ReadText(p9.Opened({"1-app", "big"}), 0, 310'000), RandomText(300'000));
  EXPECT_GT(p9.counter("short_transfers"), 0U);
}

TEST(P9Queue, HostErrorsReachTheGuest) {
  P9Harness p9(StoreOptions(), FillStore);
  const uint32_t big = p9.Opened({"1-app", "big"});
  p9.loop().FailNext(base::FakeEventLoop::Kind::kRead, EIO);
  EXPECT_EQ(p9.Read(big, 0, 100).error, EIO);
  p9.loop().FailNext(base::FakeEventLoop::Kind::kRead, EINTR, 3);
  EXPECT_EQ(p9.Read(big, 0, 100).error, 0);
  p9.loop().FailNext(base::FakeEventLoop::Kind::kRead, EAGAIN, 1000);
  EXPECT_EQ(p9.Read(big, 0, 100).error, EAGAIN);
}

TEST(P9Queue, StopsWithReadsAndFlushesInFlight) {
  P9Harness p9(StoreOptions(), FillStore);
  const uint32_t big = p9.Opened({"1-app", "big"});
  p9.driver().EnableInterrupts();
  for (uint16_t tag = 1; tag <= 3; ++tag) {
    p9.Offer(kP9Read, tag, P9Harness::ReadArguments(big, 0, 100'000), 100'004);
  }
  p9.Offer(kP9Flush, 4, P9Bytes().Number(uint16_t{2}), 64);
  if (p9.driver().Publish()) p9.harness().Kick(0);
  p9.loop().RunTurn();
  EXPECT_GT(p9.loop().in_flight(base::FakeEventLoop::Kind::kRead), 0U);
  p9.device().Pause([] {});
  p9.device().Resume();
  EXPECT_TRUE(p9.Stop());
  EXPECT_EQ(p9.loop().in_flight(), 0U);
  EXPECT_EQ(p9.counter("open_files"), 0U);
  p9.Start();
  EXPECT_EQ(p9.Walked(kRoot, 2, {"1-app"}), 1);
}

TEST(P9Queue, PauseWaitsForReadsAndFlushes) {
  P9Harness p9(StoreOptions(), FillStore);
  const uint32_t big = p9.Opened({"1-app", "big"});
  p9.driver().EnableInterrupts();
  p9.Offer(kP9Read, 1, P9Harness::ReadArguments(big, 0, 100), 104);
  p9.Offer(kP9Flush, 2, P9Bytes().Number(uint16_t{1}), 64);
  if (p9.driver().Publish()) p9.harness().Kick(0);
  EXPECT_TRUE(p9.harness().Pause(p9.device()));
  EXPECT_EQ(p9.loop().in_flight(base::FakeEventLoop::Kind::kRead), 0U);
  p9.device().Resume();
  p9.loop().RunUntilIdle();
  EXPECT_TRUE(p9.driver().PopUsed().has_value());
  EXPECT_TRUE(p9.driver().PopUsed().has_value());
}

// A guest may use the buffers of what it flushed again: the answer to the flush comes last, also to
// a flush of the flush.
TEST(P9Queue, FlushIsAnsweredBehindWhatItFlushes) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    P9Harness::Options options = StoreOptions();
    options.harness.loop.seed = seed;
    P9Harness p9(options, FillStore);
    const uint32_t big = p9.Opened({"1-app", "big"});
    p9.driver().EnableInterrupts();
    const uint16_t other = p9.Offer(kP9Read, 50, P9Harness::ReadArguments(big, 0, 64), 68);
    const uint16_t read = p9.Offer(kP9Read, 51, P9Harness::ReadArguments(big, 0, 64), 68);
    const std::set<uint32_t> flushes = {p9.Offer(kP9Flush, 52, P9Bytes().Number(uint16_t{51}), 64),
                                        p9.Offer(kP9Flush, 53, P9Bytes().Number(uint16_t{52}), 64)};
    p9.harness().Publish(0);
    std::vector<uint32_t> ended;
    while (const auto used = p9.driver().PopUsed()) {
      ended.push_back(used->id);
      if (flushes.contains(used->id)) {
        EXPECT_EQ(used->len, 7U);
        EXPECT_NE(std::find(ended.begin(), ended.end(), read), ended.end());
      }
    }
    EXPECT_EQ(ended.size(), 4U);
    EXPECT_NE(std::find(ended.begin(), ended.end(), other), ended.end());
  }
}

TEST(P9Queue, FlushOfNothingIsAnsweredAtOnce) {
  P9Harness p9(StoreOptions(), FillStore);
  for (const uint16_t tag : {uint16_t{0}, uint16_t{101}, uint16_t{0xffff}}) {
    EXPECT_EQ(p9.Do(kP9Flush, P9Bytes().Number(tag)).error, 0);
  }
  EXPECT_EQ(p9.counter("flush"), 3U);
}

TEST(P9Queue, ClunkingOrLeavingAFileBeingReadIsHarmless) {
  for (const bool leave : {false, true}) {
    P9Harness p9(StoreOptions(), FillStore);
    const uint32_t big = p9.Opened({"1-app", "big"});
    p9.driver().EnableInterrupts();
    p9.Offer(kP9Read, 1, P9Harness::ReadArguments(big, 0, 64), 68);
    if (leave) {
      p9.Offer(kP9Version, 2, P9Bytes().Number(8192U).String("9P2000.L"), 64);
    } else {
      p9.Offer(kP9Clunk, 2, P9Bytes().Number(big), 64);
    }
    p9.harness().Publish(0);
    EXPECT_TRUE(p9.driver().PopUsed().has_value());
    EXPECT_TRUE(p9.driver().PopUsed().has_value());
    EXPECT_EQ(p9.counter("open_files"), 0U);
    EXPECT_EQ(p9.counter("nodes"), 1U);
    EXPECT_EQ(p9.counter("fids"), leave ? 0U : 1U);
  }
}

TEST(P9Queue, ReadsInFlightHoldNoMoreFilesThanMayBeOpen) {
  P9Harness::Options options = StoreOptions();
  options.harness.loop.seed = 9;
  options.max_open_files = 2;
  P9Harness p9(options, FillStore);
  std::vector<uint32_t> files;
  for (int i = 0; i < 20; ++i) {
    files.push_back(p9.Opened({"1-app", "many", absl::StrCat("file-", i)}));
  }
  p9.driver().EnableInterrupts();
  for (const uint32_t file : files) {
    p9.Offer(kP9Read, static_cast<uint16_t>(file), P9Harness::ReadArguments(file, 0, 10), 14);
  }
  if (p9.driver().Publish()) p9.harness().Kick(0);
  p9.loop().RunTurn();
  EXPECT_EQ(p9.loop().in_flight(base::FakeEventLoop::Kind::kRead), 2U);
  EXPECT_LE(p9.counter("open_files"), 2U);
  p9.loop().RunUntilIdle();
  int ended = 0;
  while (const auto used = p9.driver().PopUsed()) {
    EXPECT_EQ(used->len, 12U);
    ++ended;
  }
  EXPECT_EQ(ended, 20);
  EXPECT_LE(p9.counter("open_files"), 2U);
}

}  // namespace
}  // namespace virtio
