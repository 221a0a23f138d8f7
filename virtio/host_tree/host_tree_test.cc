#include "virtio/host_tree/host_tree.h"

#include <dirent.h>
#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <iterator>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "virtio/host_tree/testing/host_tree_fixtures.h"

namespace virtio {
namespace {

using testing::UnorderedElementsAre;

TEST_F(HostTreeTest, ShowsFilesAsTheyAre) {
  host_.Write("root/dir/file", "content");
  host_.Link("/etc/passwd", "root/link");
  ASSERT_EQ(chmod(host_.Path("root/dir/file").c_str(), 0751), 0);
  const timespec times[2] = {{123, 456}, {-5, 999'999'999}};
  ASSERT_EQ(utimensat(AT_FDCWD, host_.Path("root/dir/file").c_str(), times, 0), 0);
  Open();
  FileAttributes attributes;
  ASSERT_EQ(tree_->GetAttributes(Get({"dir", "file"}), attributes), 0);
  EXPECT_EQ(attributes.mode, S_IFREG | 0751U);
  EXPECT_EQ(attributes.size_bytes, 7U);
  EXPECT_EQ(attributes.inode, host_.Inode("root/dir/file"));
  EXPECT_EQ(attributes.modified.seconds, -5);
  EXPECT_EQ(attributes.modified.nanoseconds, 999'999'999U);
  EXPECT_EQ(attributes.accessed.seconds, 123);
  EXPECT_EQ(Content(Get({"dir", "file"})), "content");
  std::string target;
  ASSERT_EQ(tree_->ReadLink(Get({"link"}), target), 0);
  EXPECT_EQ(target, "/etc/passwd");
  EXPECT_EQ(tree_->ReadLink(Get({"dir"}), target), EINVAL);
  EXPECT_THAT(List(kRootNode), UnorderedElementsAre(".", "..", "dir", "link"));
}

TEST_F(HostTreeTest, NamesAreNoPaths) {
  host_.Write("root/dir/file", "content");
  host_.Write("secret", "secret");
  Open();
  const NodeId dir = Get({"dir"});
  for (const NodeId id : {kRootNode, dir}) {
    EXPECT_EQ(LookupError(id, ".."), EINVAL);
    EXPECT_EQ(LookupError(id, "."), EINVAL);
    EXPECT_EQ(LookupError(id, ""), EINVAL);
    EXPECT_EQ(LookupError(id, "/"), EINVAL);
    EXPECT_EQ(LookupError(id, "../secret"), EINVAL);
    EXPECT_EQ(LookupError(id, "dir/file"), EINVAL);
    EXPECT_EQ(LookupError(id, "/etc"), EINVAL);
    EXPECT_EQ(LookupError(id, absl::string_view("dir\0", 4)), EINVAL);
    EXPECT_EQ(LookupError(id, std::string(256, 'x')), ENAMETOOLONG);
    EXPECT_EQ(LookupError(id, std::string(4096, 'x')), ENAMETOOLONG);
    EXPECT_EQ(LookupError(id, std::string(255, 'x')), ENOENT);
    EXPECT_EQ(LookupError(id, "\xff\xfe\x80"), ENOENT);
  }
  EXPECT_EQ(LookupError(Get({"dir", "file"}), "x"), ENOTDIR);
}

TEST_F(HostTreeTest, ServesNamesByteForByte) {
  std::string name;
  for (int byte = 1; byte < 256; ++byte) {
    if (byte != '/') name += static_cast<char>(byte);
  }
  name.resize(255, 'x');
  host_.Write("root/" + name, "x");
  Open();
  EXPECT_EQ(Content(Get({name})), "x");
  EXPECT_THAT(List(kRootNode), UnorderedElementsAre(".", "..", name));
}

TEST_F(HostTreeTest, NeverFollowsSymbolicLinks) {
  host_.Write("secret/key", "secret");
  host_.Directory("root/dir");
  host_.Link("../secret", "root/out");
  host_.Link("../secret/key", "root/out-file");
  Open();
  EXPECT_EQ(LookupError(Get({"out"}), "key"), ENOTDIR);
  EXPECT_EQ(Content(Get({"out-file"})), absl::StrCat("error ", EACCES));
  FileAttributes attributes;
  ASSERT_EQ(tree_->GetAttributes(Get({"out-file"}), attributes), 0);
  EXPECT_TRUE(S_ISLNK(attributes.mode));
}

TEST_F(HostTreeTest, OpensRegularFilesOnly) {
  host_.Directory("root/dir");
  ASSERT_EQ(mkfifo(host_.Path("root/pipe").c_str(), 0644), 0);
  Open();
  EXPECT_EQ(Content(Get({"dir"})), absl::StrCat("error ", EISDIR));
  EXPECT_EQ(Content(Get({"pipe"})), absl::StrCat("error ", EACCES));
  FileAttributes attributes;
  ASSERT_EQ(tree_->GetAttributes(Get({"pipe"}), attributes), 0);
  EXPECT_TRUE(S_ISFIFO(attributes.mode));
}

// Opening a pipe wakes the process that waits at the other end, and opening a device can do worse.
TEST_F(HostTreeTest, FilesThatTheHostSwapsInAreNotOpened) {
  for (const char* name : {"root/a", "root/b", "root/dir/c"}) host_.Write(name, "content");
  ASSERT_EQ(mkfifo(host_.Path("pipe").c_str(), 0644), 0);
  host_.Write("other", "other");
  Open();
  const NodeId a = Get({"a"});
  const NodeId b = Get({"b"});
  const NodeId directory = Get({"dir"});
  host_.Rename("pipe", "root/a");
  host_.Rename("other", "root/b");
  const base::UniqueFd watch(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  for (const char* name : {"root/a", "root/b"}) {
    ASSERT_GE(inotify_add_watch(watch.get(), host_.Path(name).c_str(), IN_OPEN | IN_ACCESS), 0);
  }
  EXPECT_EQ(Content(a), absl::StrCat("error ", ESTALE));
  EXPECT_EQ(Content(b), absl::StrCat("error ", ESTALE));
  EXPECT_EQ(LookupError(kRootNode, "a"), 0);
  EXPECT_EQ(LookupError(directory, "c"), 0);
  alignas(inotify_event) char events[4096];
  EXPECT_EQ(read(watch.get(), events, sizeof(events)), -1);
  EXPECT_EQ(errno, EAGAIN) << "what was swapped in has been opened";
  EXPECT_EQ(Content(Get({"b"})), "other");
  EXPECT_GT(read(watch.get(), events, sizeof(events)), 0);
}

TEST_F(HostTreeTest, AFileSwappedForALinkIsStale) {
  host_.Write("root/dir/key", "public");
  host_.Write("secret/key", "secret");
  Open();
  const NodeId dir = Get({"dir"});
  const NodeId file = Get({"dir", "key"});
  const NodeId other = Get({"dir"});
  EXPECT_EQ(other, dir);
  // The host swaps the file for a link to a secret.
  host_.Rename("root/dir/key", "root/dir/old");
  host_.Link("../../secret/key", "root/dir/key");
  EXPECT_EQ(Content(file), absl::StrCat("error ", ESTALE));
  // The host swaps the file for another file.
  ASSERT_EQ(unlink(host_.Path("root/dir/key").c_str()), 0);
  host_.Write("root/dir/key", "new");
  EXPECT_EQ(Content(file), absl::StrCat("error ", ESTALE));
  FileAttributes attributes;
  EXPECT_EQ(tree_->GetAttributes(file, attributes), ESTALE);
  EXPECT_EQ(Content(Get({"dir", "key"})), "new");
  // The node works again once its file is found under the new name.
  EXPECT_EQ(Get({"dir", "old"}), file);
  EXPECT_EQ(Content(file), "public");
}

TEST_F(HostTreeTest, SwappedDirectoriesAreStaleOnceClosed) {
  host_.Write("root/a/file", "a");
  host_.Write("root/b/file", "b");
  host_.Write("root/c/file", "c");
  host_.Write("secret/file", "secret");
  Open(/*max_directories=*/2);
  const NodeId a = Get({"a"});
  const NodeId file = Get({"a", "file"});
  Get({"b", "file"});
  Get({"c", "file"});  // closes a
  EXPECT_EQ(tree_->open_directories(), 2U);
  EXPECT_EQ(Content(file), "a");  // opens a again
  Get({"b", "file"});
  Get({"c", "file"});
  host_.Rename("root/a", "root/moved");
  host_.Link("../secret", "root/a");
  EXPECT_EQ(LookupError(a, "file"), ESTALE);
  EXPECT_EQ(Content(file), absl::StrCat("error ", ESTALE));
  ASSERT_EQ(unlink(host_.Path("root/a").c_str()), 0);
  host_.Write("root/a/file", "another a");
  EXPECT_EQ(LookupError(a, "file"), ESTALE);
  EXPECT_EQ(Get({"moved"}), a);
  EXPECT_EQ(Content(file), "a");
}

TEST_F(HostTreeTest, DirectoryMovedOutStaysReadableThroughItsNodeOnly) {
  host_.Write("root/dir/file", "content");
  Open();
  const NodeId dir = Get({"dir"});
  Get({"dir", "file"});  // opens dir
  host_.Rename("root/dir", "outside");
  host_.Write("secret", "secret");
  EXPECT_EQ(LookupError(kRootNode, "dir"), ENOENT);
  EXPECT_EQ(LookupError(dir, "file"), 0);
  EXPECT_EQ(LookupError(dir, ".."), EINVAL);
  EXPECT_EQ(LookupError(kRootNode, "outside"), ENOENT);
}

TEST_F(HostTreeTest, TheParentIsWhereADirectoryWasFoundAndTheRootIsItsOwn) {
  host_.Write("root/a/b/file", "content");
  Open();
  const NodeId b = Get({"a", "b"});
  FoundNode found;
  ASSERT_EQ(tree_->LookupParent(b, found), 0);
  EXPECT_EQ(found.id, Get({"a"}));
  EXPECT_EQ(found.attributes.inode, host_.Inode("root/a"));
  for (const NodeId node : {found.id, kRootNode}) {
    ASSERT_EQ(tree_->LookupParent(node, found), 0);
    EXPECT_EQ(found.id, kRootNode);
  }
  EXPECT_EQ(tree_->LookupParent(Get({"a", "b", "file"}), found), ENOTDIR);
  EXPECT_EQ(tree_->LookupParent(NodeId{12345}, found), ESTALE);
  host_.Directory("elsewhere");
  host_.Rename("root/a/b", "elsewhere/b");
  ASSERT_EQ(tree_->LookupParent(b, found), 0);
  EXPECT_EQ(found.attributes.inode, host_.Inode("root/a"));
}

TEST_F(HostTreeTest, ANodeIsGoneWhenItIsForgottenAsOftenAsItWasHeld) {
  host_.Write("root/dir/file", "content");
  Open();
  const NodeId dir = Get({"dir"});
  tree_->Hold(dir);
  FoundNode found;
  ASSERT_EQ(tree_->LookupParent(Get({"dir"}), found), 0);
  EXPECT_FALSE(tree_->Forget(dir, 1));
  EXPECT_FALSE(tree_->Forget(dir, 1));
  EXPECT_TRUE(tree_->Forget(dir, 1));
  tree_->Hold(dir);  // the node is gone
  EXPECT_FALSE(tree_->Knows(dir));
}

TEST_F(HostTreeTest, DeepTreesAreFoundAgainWithFewDescriptors) {
  std::string path = "root";
  std::vector<std::string> names;
  for (int i = 0; i < 60; ++i) {
    names.push_back(absl::StrCat("d", i));
    absl::StrAppend(&path, "/", names.back());
  }
  host_.Write(path + "/file", "deep");
  host_.Write("root/x/y/z/file", "other");
  Open(/*max_directories=*/2);
  names.push_back("file");
  const NodeId deep = Get(names);
  const NodeId other = Get({"x", "y", "z", "file"});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Content(deep), "deep");
    EXPECT_EQ(Content(other), "other");
    EXPECT_LE(tree_->open_directories(), 2U);
  }
}

TEST_F(HostTreeTest, LookupsAndOpensWorkWithoutSpareDescriptors) {
  std::vector<NodeId> nodes;
  for (int i = 0; i < 40; ++i) host_.Write(absl::StrCat("root/", i, "/file"), "content");
  Open(/*max_directories=*/1000);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const int next = dup(0);
  close(next);
  const rlimit low = {static_cast<rlim_t>(next) + 12, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 40; ++i) {
      EXPECT_EQ(Content(Get({absl::StrCat(i), "file"})), "content") << i;
    }
  }
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_LT(tree_->open_directories(), 12U);
}

TEST_F(HostTreeTest, ListingContinuesWithoutSpareDescriptors) {
  for (int i = 0; i < 30; ++i) host_.Write(absl::StrCat("root/dir/file-", i), "");
  for (int i = 0; i < 3; ++i) host_.Write(absl::StrCat("root/", i, "/file"), "");
  Open(/*max_directories=*/2);
  const NodeId dir = Get({"dir"});
  uint64_t offset = 0;
  const auto read_one = [&](const DirectoryEntry& entry) {
    if (offset != 0) return false;
    offset = entry.next_offset;
    return true;
  };
  ASSERT_EQ(tree_->ReadDirectory(dir, 0, read_one), 0);        // keeps dir open for reading
  for (int i = 0; i < 3; ++i) Get({absl::StrCat(i), "file"});  // closes its node
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none = {0, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  int entries = 0;
  EXPECT_EQ(tree_->ReadDirectory(dir, offset,
                                 [&](const DirectoryEntry& entry) {
                                   FoundNode found;
                                   tree_->Lookup(dir, entry.name, found).Ignore();
                                   ++entries;
                                   return true;
                                 }),
            0);
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(entries, 31);
}

TEST_F(HostTreeTest, ListingBeginsWithoutSpareDescriptors) {
  for (int i = 0; i < 10; ++i) host_.Write(absl::StrCat("root/", i, "/file"), "");
  Open();
  for (int i = 0; i < 10; ++i) Get({absl::StrCat(i), "file"});
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const int next = dup(0);
  close(next);
  const rlimit low = {static_cast<rlim_t>(next), before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  const std::vector<std::string> names = List(Get({"0"}));
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_THAT(names, UnorderedElementsAre(".", "..", "file"));
}

TEST_F(HostTreeTest, ForgetFreesNodesAndDescriptors) {
  host_.Write("root/a/b/file", "content");
  Open();
  const NodeId file = Get({"a", "b", "file"});
  const NodeId again = Get({"a", "b", "file"});
  EXPECT_EQ(again, file);
  const NodeId a = Get({"a"});
  const NodeId b = Get({"a", "b"});
  EXPECT_EQ(tree_->node_count(), 4U);
  EXPECT_TRUE(!tree_->Forget(a, UINT64_MAX) &&
              !tree_->Forget(b, UINT64_MAX));  // both have children
  EXPECT_FALSE(tree_->Forget(file, 1));
  EXPECT_EQ(Content(file), "content");
  EXPECT_TRUE(tree_->Forget(file, 1));
  EXPECT_EQ(tree_->node_count(), 1U);
  EXPECT_EQ(tree_->open_directories(), 0U);
  EXPECT_EQ(Content(file), absl::StrCat("error ", ESTALE));
  EXPECT_EQ(LookupError(a, "b"), ESTALE);
  EXPECT_FALSE(tree_->Forget(kRootNode, UINT64_MAX));
  EXPECT_FALSE(tree_->Forget(NodeId{77}, 1));
  EXPECT_TRUE(tree_->Knows(kRootNode));
  Get({"a", "b", "file"});
  tree_->ForgetAll();
  EXPECT_EQ(tree_->node_count(), 1U);
  EXPECT_EQ(Content(Get({"a", "b", "file"})), "content");
}

TEST_F(HostTreeTest, NodesAreBounded) {
  for (int i = 0; i < 20; ++i) host_.Write(absl::StrCat("root/", i), "");
  Open(16, /*max_nodes=*/10);
  int errors = 0;
  for (int i = 0; i < 20; ++i) errors += LookupError(kRootNode, absl::StrCat(i)) == ENFILE ? 1 : 0;
  EXPECT_EQ(errors, 11);
}

TEST_F(HostTreeTest, HardLinksAreOneNode) {
  host_.Write("root/a/file", "content");
  host_.Directory("root/b");
  ASSERT_EQ(link(host_.Path("root/a/file").c_str(), host_.Path("root/b/link").c_str()), 0);
  Open();
  const NodeId file = Get({"a", "file"});
  EXPECT_EQ(Get({"b", "link"}), file);
  EXPECT_EQ(tree_->node_count(), 4U);
  // The first name and the node of its directory may go.
  ASSERT_EQ(unlink(host_.Path("root/a/file").c_str()), 0);
  EXPECT_TRUE(tree_->Forget(Get({"a"}), UINT64_MAX));
  EXPECT_EQ(Content(file), "content");
}

TEST_F(HostTreeTest, ReadsDirectoriesInPieces) {
  std::set<std::string> wanted = {".", ".."};
  host_.Directory("root/dir");
  for (int i = 0; i < 3000; ++i) {
    const std::string name = absl::StrCat("a-rather-long-name-of-a-file-number-", i);
    host_.Write("root/dir/" + name, "");
    wanted.insert(name);
  }
  Open();
  const NodeId dir = Get({"dir"});
  std::set<std::string> names;
  std::map<uint64_t, std::string> by_offset;  // the entry at each offset
  uint64_t offset = 0;
  for (bool more = true; more;) {
    int left = 7;
    more = false;
    ASSERT_EQ(tree_->ReadDirectory(dir, offset,
                                   [&](const DirectoryEntry& entry) {
                                     if (left-- == 0) return more = true, false;
                                     EXPECT_TRUE(names.emplace(entry.name).second) << entry.name;
                                     by_offset[offset] = std::string(entry.name);
                                     offset = entry.next_offset;
                                     return true;
                                   }),
              0);
  }
  EXPECT_EQ(names, wanted);
  // Reading can begin again at any offset that was given.
  for (auto it = by_offset.begin(); it != by_offset.end(); std::advance(it, 1)) {
    if (it->first % 101 != 0 && it != by_offset.begin()) continue;
    std::string first;
    ASSERT_EQ(tree_->ReadDirectory(dir, it->first,
                                   [&first](const DirectoryEntry& entry) {
                                     first = std::string(entry.name);
                                     return false;
                                   }),
              0);
    EXPECT_EQ(first, it->second);
  }
}

TEST_F(HostTreeTest, ForgedOffsetsAreHarmless) {
  host_.Write("root/dir/file", "");
  Open();
  const NodeId dir = Get({"dir"});
  const auto visit = [](const DirectoryEntry&) { return true; };
  EXPECT_EQ(tree_->ReadDirectory(dir, UINT64_MAX, visit), EINVAL);
  EXPECT_EQ(tree_->ReadDirectory(dir, uint64_t{1} << 63, visit), EINVAL);
  for (const uint64_t offset : {uint64_t{1}, uint64_t{12345}, uint64_t{INT64_MAX}}) {
    tree_->ReadDirectory(dir, offset, visit).Ignore();  // the host decides
  }
  EXPECT_THAT(List(dir), UnorderedElementsAre(".", "..", "file"));
  EXPECT_EQ(tree_->ReadDirectory(Get({"dir", "file"}), 0, visit), ENOTDIR);
  EXPECT_EQ(tree_->ReadDirectory(NodeId{99}, 0, visit), ESTALE);
}

TEST_F(HostTreeTest, HidesTheDirectoryAboveTheRoot) {
  host_.Directory("root/dir");
  Open();
  const auto visit = [this](const DirectoryEntry& entry) {
    if (entry.name == "..") {
      EXPECT_EQ(entry.inode, host_.Inode("root"));
    }
    return true;
  };
  EXPECT_EQ(tree_->ReadDirectory(kRootNode, 0, visit), 0);
}

TEST_F(HostTreeTest, MountsBelowTheRootAreEnteredOnlyWithSubmounts) {
  host_.Directory("root/mount");
  if (mount("none", host_.Path("root/mount").c_str(), "tmpfs", 0, nullptr) != 0) {
    GTEST_SKIP() << "no right to mount";
  }
  host_.Write("root/mount/file", "mounted");
  Open();
  EXPECT_EQ(LookupError(kRootNode, "mount"), EXDEV);
  HostTree::Options options;
  options.path = host_.Path("root");
  options.submounts = true;
  OpenWith(std::move(options));
  EXPECT_EQ(Content(Get({"mount", "file"})), "mounted");
  tree_.reset();
  EXPECT_EQ(umount2(host_.Path("root/mount").c_str(), MNT_DETACH), 0);
}

TEST_F(HostTreeTest, MapsOwners) {
  host_.Write("root/file", "");
  HostTree::Options options;
  options.path = host_.Path("root");
  options.uids = OwnerMap({{.guest = 1000, .host = getuid(), .count = 1}});
  options.gids = OwnerMap({{.guest = 0, .host = getgid() + 1, .count = 10}});
  OpenWith(std::move(options));
  FileAttributes attributes;
  ASSERT_EQ(tree_->GetAttributes(Get({"file"}), attributes), 0);
  EXPECT_EQ(attributes.uid, 1000U);
  EXPECT_EQ(attributes.gid, OwnerMap::kNobody);
  const OwnerMap ranges({{.guest = 5, .host = UINT32_MAX - 1, .count = 2}});
  EXPECT_EQ(ranges.ToGuest(UINT32_MAX), 6U);
  EXPECT_EQ(OwnerMap().ToGuest(42), 42U);
}

}  // namespace
}  // namespace virtio
