// Changing a tree: what the guest asks for is what the host has afterwards, and nothing else.

#include <errno.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "virtio/host_tree/host_tree.h"
#include "virtio/host_tree/owner_rights.h"
#include "virtio/host_tree/temporary_tree_fixtures.h"

namespace virtio {
namespace {

using testing::HasSubstr;

constexpr Caller kRoot = {};
constexpr Caller kUser = {.uid = 1000, .gid = 100, .umask = 027};

class HostChangesTest : public testing::Test {
 protected:
  void SetUp() override { host_.Directory("root"); }
  void Open(bool writable = true, uint32_t max_directories = 8, size_t max_nodes = 1000) {
    HostTree::Options options;
    options.name = "fs[0]";
    options.path = host_.Path("root");
    options.writable = writable;
    options.max_directories = max_directories;
    options.max_nodes = max_nodes;
    options.uids = MapToOwn(geteuid(), {0, 1000});
    options.gids = MapToOwn(getegid(), {0, 100});
    OpenWith(std::move(options));
  }
  void OpenWith(HostTree::Options options) {
    auto tree = HostTree::Open(std::move(options));
    ASSERT_TRUE(tree.ok()) << tree.status();
    tree_ = std::move(tree).value();
  }
  NodeId Find(NodeId directory, absl::string_view name) {
    FoundNode found;
    EXPECT_EQ(tree_->Lookup(directory, name, found), 0) << name;
    return found.id;
  }
  int LookupError(NodeId directory, absl::string_view name) {
    FoundNode found;
    return tree_->Lookup(directory, name, found);
  }
  FoundNode MakeFile(NodeId directory, absl::string_view name, const Caller& caller = kRoot,
                     uint32_t mode = 0644) {
    FoundNode found;
    std::unique_ptr<HostFile> file;
    EXPECT_EQ(tree_->Create(directory, name, caller, mode, O_RDWR, found, file), 0) << name;
    return found;
  }
  FoundNode MakeDirectory(NodeId directory, absl::string_view name, const Caller& caller = kRoot,
                          uint32_t mode = 0755) {
    FoundNode found;
    EXPECT_EQ(tree_->MakeDirectory(directory, name, caller, mode, found), 0) << name;
    return found;
  }
  FileAttributes Attributes(NodeId id) {
    FileAttributes attributes;
    EXPECT_EQ(tree_->GetAttributes(id, attributes), 0);
    return attributes;
  }
  int Set(NodeId id, const AttributeChanges& changes) {
    FileAttributes attributes;
    return tree_->SetAttributes(id, changes, nullptr, attributes);
  }
  struct stat HostStatus(absl::string_view name) {
    struct stat status = {};
    EXPECT_EQ(lstat(host_.Path(absl::StrCat("root/", name)).c_str(), &status), 0) << name;
    return status;
  }
  bool OnHost(absl::string_view name) {
    struct stat status;
    return lstat(host_.Path(absl::StrCat("root/", name)).c_str(), &status) == 0;
  }
  static std::string Content(const HostFile& file) {
    char bytes[256];
    const ssize_t size = pread(file.fd(), bytes, sizeof(bytes), 0);
    return size < 0 ? absl::StrCat("error ", errno) : std::string(bytes, static_cast<size_t>(size));
  }
  static bool IsRoot() { return geteuid() == 0; }

  TemporaryTree host_{testing::TempDir()};
  std::unique_ptr<HostTree> tree_;
};

// Every change of every kind, each on names that exist or not as it needs.
std::vector<std::pair<std::string, std::function<int(HostTree&, NodeId file, NodeId directory)>>>
AllChanges() {
  return {
      {"create",
       [](HostTree& tree, NodeId, NodeId directory) {
         FoundNode found;
         std::unique_ptr<HostFile> file;
         return tree.Create(directory, "new", kRoot, 0644, O_RDWR, found, file);
       }},
      {"create with O_RDONLY",
       [](HostTree& tree, NodeId, NodeId directory) {
         FoundNode found;
         std::unique_ptr<HostFile> file;
         return tree.Create(directory, "file", kRoot, 0644, O_RDONLY, found, file);
       }},
      {"open for writing",
       [](HostTree& tree, NodeId node, NodeId) {
         std::unique_ptr<HostFile> file;
         return tree.OpenFile(node, O_WRONLY, file);
       }},
      {"open with O_TRUNC",
       [](HostTree& tree, NodeId node, NodeId) {
         std::unique_ptr<HostFile> file;
         return tree.OpenFile(node, O_RDONLY | O_TRUNC, file);
       }},
      {"mkdir",
       [](HostTree& tree, NodeId, NodeId directory) {
         FoundNode found;
         return tree.MakeDirectory(directory, "new", kRoot, 0755, found);
       }},
      {"mknod",
       [](HostTree& tree, NodeId, NodeId directory) {
         FoundNode found;
         return tree.MakeNode(directory, "new", kRoot, S_IFREG | 0644, 0, 0, found);
       }},
      {"symlink",
       [](HostTree& tree, NodeId, NodeId directory) {
         FoundNode found;
         return tree.MakeSymlink(directory, "new", kRoot, "target", found);
       }},
      {"link",
       [](HostTree& tree, NodeId file, NodeId directory) {
         FoundNode found;
         return tree.Link(file, directory, "new", found);
       }},
      {"unlink",
       [](HostTree& tree, NodeId, NodeId directory) { return tree.Unlink(directory, "file"); }},
      {"rmdir", [](HostTree& tree, NodeId,
                   NodeId directory) { return tree.RemoveDirectory(directory, "empty"); }},
      {"rename",
       [](HostTree& tree, NodeId, NodeId directory) {
         return tree.Rename(directory, "file", directory, "new", 0);
       }},
      {"setattr",
       [](HostTree& tree, NodeId file, NodeId) {
         FileAttributes attributes;
         return tree.SetAttributes(file, {.mode = 0600}, nullptr, attributes);
       }},
      {"setxattr",
       [](HostTree& tree, NodeId file, NodeId) { return tree.SetXattr(file, "user.a", "b", 0); }},
      {"removexattr",
       [](HostTree& tree, NodeId file, NodeId) { return tree.RemoveXattr(file, "user.a"); }},
  };
}

TEST_F(HostChangesTest, AReadOnlyTreeRefusesEveryChange) {
  host_.Write("root/dir/file", "content");
  host_.Directory("root/dir/empty");
  host_.Write("paths", "/nix/store/dir\n");
  for (const bool closure : {false, true}) {
    HostTree::Options options;
    options.name = "fs[0]";
    options.path = host_.Path("root");
    if (closure) options.closure = host_.Path("paths");
    OpenWith(std::move(options));
    const NodeId directory = Find(kRootNode, "dir");
    const NodeId file = Find(directory, "file");
    const struct stat before = HostStatus("dir/file");
    for (const auto& [name, change] : AllChanges()) {
      EXPECT_EQ(change(*tree_, file, directory), EROFS) << name;
      EXPECT_EQ(change(*tree_, kRootNode, kRootNode), EROFS) << name;
    }
    const struct stat after = HostStatus("dir/file");
    EXPECT_EQ(after.st_ctim.tv_nsec, before.st_ctim.tv_nsec);
    EXPECT_FALSE(OnHost("dir/new"));
    EXPECT_TRUE(OnHost("dir/empty"));
  }
}

TEST_F(HostChangesTest, AWritableTreeMakesEveryChange) {
  for (const auto& [name, change] : AllChanges()) {
    host_.Write("root/dir/file", "content");
    host_.Directory("root/dir/empty");
    setxattr(host_.Path("root/dir/file").c_str(), "user.a", "b", 1, 0);
    Open();
    const NodeId directory = Find(kRootNode, "dir");
    EXPECT_EQ(change(*tree_, Find(directory, "file"), directory), 0) << name;
    tree_ = nullptr;
    std::filesystem::remove_all(host_.Path("root/dir"));
  }
}

TEST_F(HostChangesTest, NamesAreNoPaths) {
  host_.Write("root/file", "content");
  host_.Directory("root/dir");
  Open();
  const NodeId directory = Find(kRootNode, "dir");
  const NodeId file = Find(kRootNode, "file");
  const std::pair<std::string, int> names[] = {
      {"", EINVAL},
      {".", EINVAL},
      {"..", EINVAL},
      {"a/b", EINVAL},
      {"/", EINVAL},
      {"../x", EINVAL},
      {std::string("a\0b", 3), EINVAL},
      {std::string(256, 'x'), ENAMETOOLONG},
      {std::string(4096, 'x'), ENAMETOOLONG},
  };
  FoundNode found;
  std::unique_ptr<HostFile> opened;
  for (const auto& [name, error] : names) {
    EXPECT_EQ(tree_->Create(directory, name, kRoot, 0644, O_RDWR, found, opened), error) << name;
    EXPECT_EQ(tree_->MakeDirectory(directory, name, kRoot, 0755, found), error) << name;
    EXPECT_EQ(tree_->MakeNode(directory, name, kRoot, S_IFIFO, 0, 0, found), error) << name;
    EXPECT_EQ(tree_->MakeSymlink(directory, name, kRoot, "x", found), error) << name;
    EXPECT_EQ(tree_->Link(file, directory, name, found), error) << name;
    EXPECT_EQ(tree_->Unlink(directory, name), error) << name;
    EXPECT_EQ(tree_->RemoveDirectory(directory, name), error) << name;
    EXPECT_EQ(tree_->Rename(directory, name, directory, "x", 0), error) << name;
    EXPECT_EQ(tree_->Rename(kRootNode, "file", directory, name, 0), error) << name;
  }
  EXPECT_EQ(tree_->node_count(), 3U);
  EXPECT_TRUE(OnHost("file"));
  const std::string bytes("\xff\x01 -n\n\\", 7);  // but anything else is
  MakeFile(directory, bytes);
  EXPECT_TRUE(OnHost(absl::StrCat("dir/", bytes)));
}

TEST_F(HostChangesTest, StrangersAreStale) {
  Open();
  const NodeId forgotten = MakeFile(kRootNode, "file").id;
  tree_->Forget(forgotten, 1);
  for (const auto& [name, change] : AllChanges()) {
    for (const NodeId id : {forgotten, NodeId{0}, NodeId{77}, NodeId{~uint64_t{0}}}) {
      EXPECT_EQ(change(*tree_, id, id), ESTALE) << name;
    }
  }
}

// --- Making --------------------------------------------------------------------------------------

TEST_F(HostChangesTest, WhatIsMadeHasModeUmaskAndOwner) {
  Open();
  const FoundNode file = MakeFile(kRootNode, "file", kUser, 0666);
  EXPECT_EQ(file.attributes.mode, S_IFREG | 0640U);
  EXPECT_EQ(HostStatus("file").st_mode, S_IFREG | 0640U);
  const FoundNode directory = MakeDirectory(kRootNode, "dir", kUser, 01777);
  EXPECT_EQ(directory.attributes.mode, S_IFDIR | 01750U);
  FoundNode found;
  ASSERT_EQ(tree_->MakeNode(kRootNode, "pipe", kUser, S_IFIFO | 0666, 0, 0, found), 0);
  EXPECT_EQ(HostStatus("pipe").st_mode, S_IFIFO | 0640U);
  ASSERT_EQ(tree_->MakeNode(kRootNode, "socket", kUser, S_IFSOCK | 0600, 0, 0, found), 0);
  EXPECT_EQ(HostStatus("socket").st_mode, S_IFSOCK | 0600U);
  ASSERT_EQ(tree_->MakeSymlink(kRootNode, "link", kUser, "/etc/passwd", found), 0);
  std::string target;
  ASSERT_EQ(tree_->ReadLink(found.id, target), 0);
  EXPECT_EQ(target, "/etc/passwd");
  if (!IsRoot()) return;
  for (const char* name : {"file", "dir", "pipe", "socket", "link"}) {
    EXPECT_EQ(HostStatus(name).st_uid, 1000U) << name;
    EXPECT_EQ(HostStatus(name).st_gid, 100U) << name;
  }
  // Giving a file away would take its set-id bits.
  MakeFile(kRootNode, "set-id", {.uid = 1000, .gid = 100}, 06755);
  EXPECT_EQ(HostStatus("set-id").st_mode, S_IFREG | 06755U);
}

TEST_F(HostChangesTest, TheUmaskOfTheProcessStays) {
  const mode_t before = umask(031);
  Open();
  EXPECT_EQ(MakeFile(kRootNode, "file", {.umask = 0}, 0777).attributes.mode, S_IFREG | 0777U);
  EXPECT_EQ(umask(before), 031U);
}

TEST_F(HostChangesTest, SetGroupIdDirectoriesHandTheirGroupDown) {
  if (!IsRoot()) GTEST_SKIP() << "needs another group";
  host_.Directory("root/dir");
  ASSERT_EQ(chown(host_.Path("root/dir").c_str(), 0, 4321), 0);
  ASSERT_EQ(chmod(host_.Path("root/dir").c_str(), 02777), 0);
  Open();
  const NodeId directory = Find(kRootNode, "dir");
  const FoundNode file = MakeFile(directory, "file", kUser);
  EXPECT_EQ(file.attributes.gid, 4321U);
  EXPECT_EQ(file.attributes.uid, 1000U);
  const FoundNode below = MakeDirectory(directory, "below", kUser);
  EXPECT_EQ(below.attributes.gid, 4321U);
  EXPECT_EQ(below.attributes.mode, S_IFDIR | 02750U);
}

TEST_F(HostChangesTest, DefaultAclTakesTheUmasksPlace) {
  host_.Directory("root/dir");
  // A default ACL: version 2; user rwx, group rwx, mask rwx, others r-x.
  const uint8_t acl[] = {2,    0, 0, 0,                          //
                         0x01, 0, 7, 0, 0xff, 0xff, 0xff, 0xff,  //
                         0x04, 0, 7, 0, 0xff, 0xff, 0xff, 0xff,  //
                         0x10, 0, 7, 0, 0xff, 0xff, 0xff, 0xff,  //
                         0x20, 0, 5, 0, 0xff, 0xff, 0xff, 0xff};
  if (setxattr(host_.Path("root/dir").c_str(), "system.posix_acl_default", acl, sizeof(acl), 0) !=
      0) {
    GTEST_SKIP() << "no ACLs here";
  }
  Open();
  const FoundNode file = MakeFile(Find(kRootNode, "dir"), "file", {.umask = 077}, 0666);
  EXPECT_EQ(file.attributes.mode & 0777, 0664U);
}

TEST_F(HostChangesTest, CreateOpensWhatIsThereUnlessExclusive) {
  host_.Write("root/file", "content");
  host_.Link("file", "root/link");
  host_.Directory("root/dir");
  Open();
  FoundNode found;
  std::unique_ptr<HostFile> file;
  EXPECT_EQ(tree_->Create(kRootNode, "file", kRoot, 0644, O_RDWR | O_EXCL, found, file), EEXIST);
  EXPECT_EQ(tree_->Create(kRootNode, "file", kRoot, 0644, O_RDWR, found, file), 0);
  EXPECT_EQ(Content(*file), "content");
  EXPECT_EQ(tree_->Create(kRootNode, "file", kRoot, 0644, O_RDWR | O_TRUNC, found, file), 0);
  EXPECT_EQ(Content(*file), "");
  EXPECT_EQ(tree_->Create(kRootNode, "link", kRoot, 0644, O_RDWR, found, file), EACCES);
  EXPECT_EQ(tree_->Create(kRootNode, "dir", kRoot, 0644, O_RDWR, found, file), EISDIR);
  EXPECT_EQ(tree_->node_count(), 2U);  // what could not be opened is not held
}

TEST_F(HostChangesTest, DevicesAreNotMade) {
  Open();
  FoundNode found;
  EXPECT_EQ(tree_->MakeNode(kRootNode, "null", kRoot, S_IFCHR | 0666, 1, 3, found), EPERM);
  EXPECT_EQ(tree_->MakeNode(kRootNode, "disk", kRoot, S_IFBLK | 0666, 0, 0, found), EPERM);
  EXPECT_EQ(tree_->MakeNode(kRootNode, "what", kRoot, S_IFDIR | 0666, 0, 0, found), EINVAL);
  EXPECT_EQ(tree_->MakeNode(kRootNode, "what", kRoot, 0, 0, 0, found), EINVAL);
  EXPECT_EQ(tree_->MakeNode(kRootNode, "whiteout", kRoot, S_IFCHR | 0666, 0, 0, found), 0);
  EXPECT_EQ(HostStatus("whiteout").st_rdev, 0U);
}

TEST_F(HostChangesTest, AFullTableMakesNothing) {
  Open(true, 8, 2);
  MakeFile(kRootNode, "file");
  FoundNode found;
  std::unique_ptr<HostFile> file;
  EXPECT_EQ(tree_->Create(kRootNode, "more", kRoot, 0644, O_RDWR, found, file), ENFILE);
  EXPECT_EQ(tree_->MakeDirectory(kRootNode, "more", kRoot, 0755, found), ENFILE);
  EXPECT_FALSE(OnHost("more"));
}

TEST_F(HostChangesTest, OwnersAreMappedBothWays) {
  if (!IsRoot()) GTEST_SKIP() << "needs other owners";
  HostTree::Options options;
  options.name = "fs[0]";
  options.path = host_.Path("root");
  options.writable = true;
  options.uids = OwnerMap({{.guest = 0, .host = 5000, .count = 10}});
  options.gids = OwnerMap({{.guest = 0, .host = 6000, .count = 10}});
  OpenWith(std::move(options));
  const FoundNode file = MakeFile(kRootNode, "file", {.uid = 3, .gid = 4});
  EXPECT_EQ(file.attributes.uid, 3U);
  EXPECT_EQ(HostStatus("file").st_uid, 5003U);
  EXPECT_EQ(HostStatus("file").st_gid, 6004U);
  EXPECT_EQ(Set(file.id, {.uid = 9}), 0);
  EXPECT_EQ(HostStatus("file").st_uid, 5009U);
  EXPECT_EQ(HostStatus("file").st_gid, 6004U);
  EXPECT_EQ(Set(file.id, {.uid = 10}), EPERM);
  EXPECT_EQ(Set(file.id, {.gid = UINT32_MAX}), EPERM);
  FoundNode found;
  EXPECT_EQ(tree_->MakeDirectory(kRootNode, "dir", {.uid = 10}, 0755, found), EPERM);
  EXPECT_FALSE(OnHost("dir"));
}

TEST_F(HostChangesTest, FilesOfOwnersThatTheMapsLeaveOutStayAsTheyAre) {
  if (!IsRoot()) GTEST_SKIP() << "needs other owners";
  host_.Write("root/strangers", "content");
  host_.Write("root/of a group", "content");
  ASSERT_EQ(chown(host_.Path("root/of a group").c_str(), 5000, 0), 0);
  host_.Directory("root/dir");
  ASSERT_EQ(chmod(host_.Path("root/dir").c_str(), 02777), 0);
  HostTree::Options options;
  options.name = "fs[0]";
  options.path = host_.Path("root");
  options.writable = true;
  options.uids = OwnerMap({{.guest = 0, .host = 5000, .count = 10}});
  options.gids = OwnerMap({{.guest = 0, .host = 6000, .count = 10}});
  OpenWith(std::move(options));
  for (const char* name : {"strangers", "of a group"}) {
    const NodeId file = Find(kRootNode, name);
    EXPECT_EQ(Set(file, {.mode = 04755}), EPERM) << name;
    EXPECT_EQ(Set(file, {.uid = 1}), EPERM) << name;
    EXPECT_EQ(Set(file, {.size_bytes = 1}), EPERM) << name;
    std::unique_ptr<HostFile> opened;
    EXPECT_EQ(tree_->OpenFile(file, O_WRONLY, opened), EACCES) << name;
    EXPECT_EQ(tree_->OpenFile(file, O_RDONLY | O_TRUNC, opened), EACCES) << name;
    EXPECT_EQ(tree_->OpenFile(file, O_RDONLY, opened), 0) << name;
    EXPECT_EQ(HostStatus(name).st_mode, S_IFREG | 0644U) << name;
    EXPECT_EQ(HostStatus(name).st_size, 7) << name;
  }
  // Nor does a file of the guest's run as the host's group.
  MakeFile(Find(kRootNode, "dir"), "file", {.uid = 3, .gid = 4}, 06755);
  EXPECT_EQ(HostStatus("dir/file").st_gid, 0U);
  EXPECT_EQ(HostStatus("dir/file").st_mode, S_IFREG | 04755U);
}

TEST_F(HostChangesTest, DirectoriesTooDeepToBeOpenedAgainAreRefused) {
  Open(/*writable=*/true, /*max_directories=*/2, /*max_nodes=*/2 * kMaxDepth);
  const NodeId first = MakeDirectory(kRootNode, "d").id;
  NodeId deepest = first;
  for (size_t depth = 1; depth < kMaxDepth + 8; ++depth) deepest = MakeDirectory(deepest, "d").id;
  EXPECT_EQ(LookupError(deepest, "none"), ENOENT);
  // What is used instead closes it.
  for (const char* name : {"a", "b", "c"}) MakeDirectory(MakeDirectory(first, name).id, "x");
  EXPECT_EQ(LookupError(deepest, "none"), ELOOP);
  EXPECT_EQ(std::system(absl::StrCat("rm -rf ", host_.Path("root/d")).c_str()), 0);
}

// --- Links, removal, names -----------------------------------------------------------------------

TEST_F(HostChangesTest, LinksAreToTheFileItself) {
  host_.Link("nowhere", "root/symlink");
  Open();
  const NodeId file = MakeFile(kRootNode, "file").id;
  const NodeId directory = MakeDirectory(kRootNode, "dir").id;
  FoundNode found;
  ASSERT_EQ(tree_->Link(file, directory, "other", found), 0);
  EXPECT_EQ(found.id, file);
  EXPECT_EQ(found.attributes.links, 2U);
  EXPECT_EQ(HostStatus("dir/other").st_ino, HostStatus("file").st_ino);
  ASSERT_EQ(tree_->Link(Find(kRootNode, "symlink"), directory, "symlink", found), 0);
  EXPECT_EQ(HostStatus("dir/symlink").st_ino, HostStatus("symlink").st_ino);
  EXPECT_EQ(tree_->Link(directory, kRootNode, "loop", found), EPERM);
  EXPECT_EQ(tree_->Link(file, kRootNode, "symlink", found), EEXIST);
  EXPECT_EQ(tree_->Link(file, file, "x", found), ENOTDIR);
}

TEST_F(HostChangesTest, AnOpenFileOutlivesItsName) {
  Open(true, 2);
  const NodeId directory = MakeDirectory(kRootNode, "dir").id;
  FoundNode found;
  std::unique_ptr<HostFile> file;
  ASSERT_EQ(tree_->Create(directory, "file", kRoot, 0600, O_RDWR, found, file), 0);
  ASSERT_EQ(pwrite(file->fd(), "content", 7, 0), 7);
  ASSERT_EQ(tree_->Unlink(directory, "file"), 0);
  EXPECT_EQ(LookupError(directory, "file"), ENOENT);
  // Everything by node still works, though nothing has its name, or something else has.
  MakeFile(directory, "file");
  EXPECT_EQ(Attributes(found.id).links, 0U);
  EXPECT_EQ(Attributes(found.id).size_bytes, 7U);
  EXPECT_EQ(Set(found.id, {.mode = 0444, .size_bytes = 3}), 0);
  EXPECT_EQ(Attributes(found.id).mode, S_IFREG | 0444U);
  EXPECT_EQ(Content(*file), "con");
  std::unique_ptr<HostFile> again;
  ASSERT_EQ(tree_->OpenFile(found.id, O_RDONLY, again), 0);
  EXPECT_EQ(Content(*again), "con");
  EXPECT_EQ(HostStatus("dir/file").st_size, 0);
  // The guest may forget it before it closes it.
  const size_t nodes = tree_->node_count();
  EXPECT_FALSE(tree_->Forget(found.id, 1));
  again.reset();
  file.reset();
  EXPECT_EQ(tree_->node_count(), nodes - 1);
}

TEST_F(HostChangesTest, WhatTheGuestKnowsOutlivesItsName) {
  Open(true, 2);
  const NodeId file = MakeFile(kRootNode, "file").id;
  const NodeId directory = MakeDirectory(kRootNode, "dir").id;
  EXPECT_EQ(tree_->Unlink(kRootNode, "file"), 0);
  EXPECT_EQ(Attributes(file).links, 0U);
  EXPECT_EQ(tree_->RemoveDirectory(kRootNode, "dir"), 0);
  EXPECT_EQ(Attributes(directory).links, 0U);
  FoundNode found;
  EXPECT_EQ(tree_->MakeDirectory(directory, "x", kRoot, 0755, found), ENOENT);
  // Until others need the descriptors: no other file is taken for it then.
  MakeFile(kRootNode, "file");
  for (const char* name : {"a", "b", "c"}) MakeFile(MakeDirectory(kRootNode, name).id, "x");
  FileAttributes attributes;
  EXPECT_EQ(tree_->GetAttributes(file, attributes), ESTALE);
  EXPECT_EQ(tree_->GetAttributes(directory, attributes), ESTALE);
  EXPECT_EQ(Set(file, {.mode = 0}), ESTALE);
  EXPECT_EQ(HostStatus("file").st_mode, S_IFREG | 0644U);
  EXPECT_LE(tree_->open_directories(), 2U);
}

TEST_F(HostChangesTest, AFileWithAnotherNameIsFoundByIt) {
  Open(true, 2);
  const NodeId file = MakeFile(kRootNode, "a").id;
  FoundNode found;
  ASSERT_EQ(tree_->Link(file, kRootNode, "b", found), 0);
  ASSERT_EQ(tree_->Unlink(kRootNode, "b"), 0);
  EXPECT_EQ(Attributes(file).links, 1U);
  EXPECT_EQ(Find(kRootNode, "a"), file);
  for (const char* name : {"c", "d", "e"}) MakeFile(MakeDirectory(kRootNode, name).id, "x");
  EXPECT_EQ(Attributes(file).links, 1U);
}

TEST_F(HostChangesTest, RemovingIsOfTheRightKind) {
  Open();
  const NodeId directory = MakeDirectory(kRootNode, "dir").id;
  MakeFile(directory, "file");
  EXPECT_EQ(tree_->Unlink(kRootNode, "dir"), EISDIR);
  EXPECT_EQ(tree_->RemoveDirectory(kRootNode, "dir"), ENOTEMPTY);
  EXPECT_EQ(tree_->RemoveDirectory(directory, "file"), ENOTDIR);
  EXPECT_EQ(tree_->Unlink(directory, "none"), ENOENT);
  EXPECT_EQ(Attributes(Find(directory, "file")).links, 1U);
}

TEST_F(HostChangesTest, NodesMoveWithTheirFiles) {
  Open(true, 2);
  const NodeId from = MakeDirectory(kRootNode, "from").id;
  const NodeId to = MakeDirectory(MakeDirectory(MakeDirectory(kRootNode, "x").id, "y").id, "to").id;
  const NodeId moved = MakeDirectory(from, "moved").id;
  const NodeId file = MakeFile(moved, "file").id;
  ASSERT_EQ(tree_->Rename(from, "moved", to, "here", 0), 0);
  EXPECT_TRUE(OnHost("x/y/to/here/file"));
  // Also when nothing of it is open any more, and another has taken the old name.
  MakeFile(MakeDirectory(from, "moved").id, "file");
  for (const char* name : {"a", "b", "c"}) MakeFile(MakeDirectory(kRootNode, name).id, "x");
  EXPECT_EQ(Attributes(file).inode, HostStatus("x/y/to/here/file").st_ino);
  EXPECT_EQ(Find(to, "here"), moved);
  EXPECT_EQ(LookupError(from, "none"), ENOENT);
}

TEST_F(HostChangesTest, RenameReplacesExchangesOrRefuses) {
  Open();
  const NodeId a = MakeFile(kRootNode, "a").id;
  const NodeId b = MakeFile(kRootNode, "b").id;
  EXPECT_EQ(tree_->Rename(kRootNode, "a", kRootNode, "b", RENAME_NOREPLACE), EEXIST);
  EXPECT_EQ(tree_->Rename(kRootNode, "a", kRootNode, "b", RENAME_EXCHANGE), 0);
  EXPECT_EQ(Find(kRootNode, "b"), a);
  EXPECT_EQ(Find(kRootNode, "a"), b);
  EXPECT_EQ(tree_->Rename(kRootNode, "b", kRootNode, "a", 0), 0);
  EXPECT_EQ(Find(kRootNode, "a"), a);
  EXPECT_EQ(Attributes(b).links, 0U);
  EXPECT_EQ(tree_->Rename(kRootNode, "none", kRootNode, "a", 0), ENOENT);
  EXPECT_EQ(tree_->Rename(kRootNode, "a", kRootNode, "none", RENAME_EXCHANGE), ENOENT);
  EXPECT_EQ(tree_->Rename(kRootNode, "a", kRootNode, "c", RENAME_WHITEOUT), EINVAL);
  EXPECT_EQ(tree_->Rename(kRootNode, "a", kRootNode, "c", RENAME_NOREPLACE | RENAME_EXCHANGE),
            EINVAL);
  EXPECT_EQ(tree_->Rename(kRootNode, "a", kRootNode, "c", ~0U), EINVAL);
  const NodeId directory = MakeDirectory(kRootNode, "dir").id;
  EXPECT_EQ(tree_->Rename(kRootNode, "dir", directory, "below", 0), EINVAL);
  // Two names of one file: nothing happens, and both stay.
  FoundNode found;
  ASSERT_EQ(tree_->Link(a, kRootNode, "twin", found), 0);
  EXPECT_EQ(tree_->Rename(kRootNode, "a", kRootNode, "twin", 0), 0);
  EXPECT_EQ(Attributes(a).links, 2U);
}

TEST_F(HostChangesTest, ADirectoryThatIsKeptOnlyByWhatLeavesItMayGo) {
  Open(true, 2);
  const NodeId from = MakeDirectory(kRootNode, "from").id;
  MakeFile(from, "file");
  tree_->Forget(from, 1);
  EXPECT_TRUE(tree_->Knows(from));
  ASSERT_EQ(tree_->Rename(from, "file", kRootNode, "file", 0), 0);
  EXPECT_FALSE(tree_->Knows(from));
  EXPECT_EQ(tree_->node_count(), 2U);
}

// --- Attributes ----------------------------------------------------------------------------------

TEST_F(HostChangesTest, AttributesAreSetOnEveryKindOfFile) {
  host_.Link("nowhere", "root/link");
  ASSERT_EQ(mkfifo(host_.Path("root/pipe").c_str(), 0600), 0);
  Open();
  const NodeId file = MakeFile(kRootNode, "file", kRoot, 0).id;  // with no rights at all
  const NodeId directory = MakeDirectory(kRootNode, "dir", kRoot, 0).id;
  for (const NodeId id : {file, directory, Find(kRootNode, "pipe")}) {
    EXPECT_EQ(Set(id, {.mode = 07751}), 0);
    EXPECT_EQ(Attributes(id).mode & 07777, 07751U);
    EXPECT_EQ(Set(id, {.accessed = {123, 456}, .modified = {-5, 999'999'999}}), 0);
    EXPECT_EQ(Attributes(id).accessed.nanoseconds, 456U);
    EXPECT_EQ(Attributes(id).modified.seconds, -5);
    EXPECT_EQ(Set(id, {.modified = {7, 8}}), 0);
    EXPECT_EQ(Attributes(id).accessed.nanoseconds, 456U);
    EXPECT_EQ(Set(id, {.accessed = {0, UTIME_NOW}}), 0);
    EXPECT_GT(Attributes(id).accessed.seconds, 1'000'000'000);
    EXPECT_EQ(Attributes(id).modified.seconds, 7);
    EXPECT_EQ(Set(id, {.modified = {0, 1'000'000'000}}), EINVAL);
  }
  const NodeId link = Find(kRootNode, "link");
  EXPECT_EQ(Set(link, {.modified = {7, 8}}), 0);
  EXPECT_EQ(Attributes(link).modified.nanoseconds, 8U);
  EXPECT_EQ(Set(link, {.mode = 0600}), EOPNOTSUPP);
  EXPECT_EQ(Set(link, {.size_bytes = 0}), EINVAL);
  EXPECT_EQ(Set(directory, {.size_bytes = 0}), EISDIR);
  EXPECT_EQ(Set(file, {.size_bytes = 5'000'000'000}), 0);
  EXPECT_EQ(HostStatus("file").st_size, 5'000'000'000);
  EXPECT_EQ(Set(file, {.size_bytes = UINT64_MAX}), EFBIG);
  EXPECT_EQ(Set(kRootNode, {.mode = 0755}), 0);
}

TEST_F(HostChangesTest, ChangesByUsersTakeSetIdBits) {
  Open();
  FoundNode found;
  std::unique_ptr<HostFile> file;
  ASSERT_EQ(tree_->Create(kRootNode, "file", kRoot, 06777, O_RDWR, found, file), 0);
  EXPECT_EQ(Set(found.id, {.size_bytes = 10}), 0);
  EXPECT_EQ(Attributes(found.id).mode & 07777, IsRoot() ? 06777U : 0777U);
  EXPECT_EQ(Set(found.id, {.size_bytes = 11, .clear_privileges = true}), 0);
  EXPECT_EQ(Attributes(found.id).mode & 07777, 0777U);
  EXPECT_EQ(Set(found.id, {.mode = 06767}), 0);
  EXPECT_EQ(file->ClearPrivileges(), 0);
  EXPECT_EQ(Attributes(found.id).mode & 07777, 02767U);  // no group may execute it
}

TEST_F(HostChangesTest, OpensAsAsked) {
  host_.Write("root/file", "content");
  ASSERT_EQ(mkfifo(host_.Path("root/pipe").c_str(), 0600), 0);
  Open();
  const NodeId id = Find(kRootNode, "file");
  std::unique_ptr<HostFile> file;
  ASSERT_EQ(tree_->OpenFile(id, O_WRONLY | O_APPEND | O_DIRECT | O_CREAT, file), 0);
  EXPECT_EQ(fcntl(file->fd(), F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK | O_DIRECT | O_CREAT),
            O_WRONLY | O_APPEND);
  EXPECT_EQ(pwrite(file->fd(), "!", 1, 0), 1);
  ASSERT_EQ(tree_->OpenFile(id, O_RDONLY, file), 0);
  EXPECT_EQ(Content(*file), "content!");
  EXPECT_EQ(pwrite(file->fd(), "!", 1, 0), -1);
  ASSERT_EQ(tree_->OpenFile(id, O_RDONLY | O_TRUNC, file), 0);
  EXPECT_EQ(Content(*file), "");
  EXPECT_EQ(tree_->OpenFile(id, O_ACCMODE, file), EINVAL);
  EXPECT_EQ(tree_->OpenFile(Find(kRootNode, "pipe"), O_RDWR, file), EACCES);
  EXPECT_EQ(tree_->OpenFile(kRootNode, O_RDWR, file), EISDIR);
  EXPECT_EQ(tree_->OpenDirectory(id, file), ENOTDIR);
  EXPECT_EQ(tree_->OpenDirectory(kRootNode, file), 0);
  EXPECT_EQ(fsync(file->fd()), 0);
}

TEST_F(HostChangesTest, FilesAreSearchedCopiedAndLocked) {
  Open();
  FoundNode found;
  std::unique_ptr<HostFile> a;
  std::unique_ptr<HostFile> b;
  ASSERT_EQ(tree_->Create(kRootNode, "a", kRoot, 0644, O_RDWR, found, a), 0);
  ASSERT_EQ(tree_->Create(kRootNode, "b", kRoot, 0644, O_RDWR, found, b), 0);
  ASSERT_EQ(pwrite(a->fd(), "content", 7, 1 << 20), 7);
  uint64_t at = 0;
  EXPECT_EQ(a->Seek(0, SEEK_DATA, at), 0);
  EXPECT_EQ(at, 1U << 20);
  EXPECT_EQ(a->Seek(0, SEEK_HOLE, at), 0);
  EXPECT_EQ(a->Seek(2 << 20, SEEK_DATA, at), ENXIO);
  EXPECT_EQ(a->Seek(0, SEEK_SET, at), EINVAL);
  EXPECT_EQ(a->Seek(UINT64_MAX, SEEK_DATA, at), EINVAL);
  EXPECT_EQ(a->CopyTo(*b, 1 << 20, 0, UINT64_MAX, at), 0);
  EXPECT_EQ(at, 7U);
  EXPECT_EQ(Content(*b), "content");
  EXPECT_EQ(a->CopyTo(*b, UINT64_MAX, 0, 1, at), EINVAL);

  std::unique_ptr<HostFile> other;
  ASSERT_EQ(tree_->OpenFile(found.id, O_RDWR, other), 0);
  EXPECT_EQ(b->SetLock({.type = F_WRLCK, .start = 5, .length = 10}), 0);
  EXPECT_EQ(other->SetLock({.type = F_RDLCK, .start = 14, .length = 0}), EAGAIN);
  FileLock lock = {.type = F_RDLCK};
  EXPECT_EQ(other->GetLock(lock), 0);
  EXPECT_EQ(lock.type, F_WRLCK);
  EXPECT_EQ(lock.start, 5U);
  EXPECT_EQ(lock.length, 10U);
  b.reset();
  EXPECT_EQ(other->SetLock({.type = F_RDLCK, .start = 14, .length = 0}), 0);
  EXPECT_EQ(other->SetLock({.type = F_RDLCK, .start = UINT64_MAX}), EINVAL);
}

TEST_F(HostChangesTest, ExtendedAttributesAreThoseOfUsers) {
  host_.Link("nowhere", "root/link");
  Open();
  const NodeId file = MakeFile(kRootNode, "file").id;
  const NodeId directory = MakeDirectory(kRootNode, "dir").id;
  std::string value;
  if (tree_->SetXattr(file, "user.a", "1", 0) == EOPNOTSUPP) GTEST_SKIP() << "none here";
  const std::string binary("\0\xff", 2);
  for (const NodeId id : {file, directory}) {
    EXPECT_EQ(tree_->SetXattr(id, "user.a", binary, 0), 0);
    EXPECT_EQ(tree_->SetXattr(id, "user.a", binary, XATTR_CREATE), EEXIST);
    EXPECT_EQ(tree_->SetXattr(id, "user.b", "", XATTR_REPLACE), ENODATA);
    EXPECT_EQ(tree_->SetXattr(id, "user.b", "", 0), 0);
    EXPECT_EQ(tree_->GetXattr(id, "user.a", value), 0);
    EXPECT_EQ(value, binary);
    EXPECT_EQ(tree_->GetXattr(id, "user.c", value), ENODATA);
    EXPECT_EQ(tree_->ListXattrs(id, value), 0);
    EXPECT_EQ(value.size(), 14U);
    EXPECT_THAT(value, HasSubstr(std::string("user.a\0", 7)));
    EXPECT_EQ(tree_->RemoveXattr(id, "user.a"), 0);
    EXPECT_EQ(tree_->RemoveXattr(id, "user.a"), ENODATA);
  }
  for (const char* name : {"security.capability", "trusted.overlay.opaque", "user", "", "userx.a",
                           "system.posix_acl_access", "security.selinux"}) {
    EXPECT_EQ(tree_->SetXattr(file, name, "x", 0), EOPNOTSUPP) << name;
    EXPECT_EQ(tree_->GetXattr(file, name, value), EOPNOTSUPP) << name;
    EXPECT_EQ(tree_->RemoveXattr(file, name), EOPNOTSUPP) << name;
  }
  EXPECT_EQ(tree_->SetXattr(file, "user." + std::string(300, 'x'), "x", 0), ERANGE);
  EXPECT_EQ(tree_->SetXattr(file, std::string("user.a\0b", 8), "x", 0), EOPNOTSUPP);
  EXPECT_EQ(tree_->SetXattr(file, "user.a", std::string(65537, 'x'), 0), E2BIG);
  EXPECT_EQ(tree_->SetXattr(file, "user.a", "x", 77), EINVAL);
  const NodeId link = Find(kRootNode, "link");
  EXPECT_EQ(tree_->SetXattr(link, "user.a", "x", 0), EPERM);
  EXPECT_EQ(tree_->GetXattr(link, "user.a", value), ENODATA);
  EXPECT_EQ(tree_->ListXattrs(link, value), 0);
  EXPECT_EQ(value, "");
  if (!IsRoot()) return;
  ASSERT_EQ(setxattr(host_.Path("root/file").c_str(), "trusted.x", "x", 1, 0), 0);
  EXPECT_EQ(tree_->ListXattrs(file, value), 0);
  EXPECT_EQ(value, std::string("user.b\0", 7));
}

// --- Rights --------------------------------------------------------------------------------------

TEST(OwnerRightsTest, MapsMayNameOnlyOwnersThatCanBeGiven) {
  const OwnerRights user = {.uid = 990, .gids = {991, 100}};
  const OwnerMap own_uid({{.guest = 0, .host = 990}});
  const OwnerMap own_gid({{.guest = 0, .host = 991}, {.guest = 5, .host = 100}});
  EXPECT_TRUE(CheckOwnerRights("fs[0]", own_uid, own_gid, user).ok());
  EXPECT_TRUE(CheckOwnerRights("fs[0]", {}, {}, {.uid = 0, .gids = {0}, .any_owner = true}).ok());
  EXPECT_THAT(CheckOwnerRights("fs[0]", {}, own_gid, user).message(),
              HasSubstr("fs[0].uid_map: missing"));
  EXPECT_THAT(CheckOwnerRights("fs[0]", own_uid, {}, user).message(),
              HasSubstr("\"gid_map\": [{\"guest\": 0, \"host\": 991}]"));
  EXPECT_THAT(
      CheckOwnerRights("fs[0]", OwnerMap({{.guest = 0, .host = 989, .count = 2}}), own_gid, user)
          .message(),
      HasSubstr("fs[0].uid_map: names the host's user 989"));
  EXPECT_THAT(CheckOwnerRights("fs[0]", OwnerMap({{.guest = 0, .host = 990, .count = UINT32_MAX}}),
                               own_gid, user)
                  .message(),
              HasSubstr("user 991"));
}

// A user who is not privileged, with maps to its own ids, can make and change everything.
TEST_F(HostChangesTest, AnUnprivilegedProcessServesWhatIsItsOwn) {
  if (!IsRoot()) GTEST_SKIP() << "is not privileged anyway";
  ASSERT_EQ(chmod(host_.path().c_str(), 0755), 0);
  ASSERT_EQ(chown(host_.Path("root").c_str(), 990, 991), 0);
  host_.Write("root/of-root", "content");
  const pid_t child = fork();
  if (child == 0) {
    if (setresgid(991, 991, 991) != 0 || setresuid(990, 990, 990) != 0) _exit(1);
    HostTree::Options options;
    options.name = "fs[0]";
    options.path = host_.Path("root");
    options.writable = true;
    if (HostTree::Open(options).ok()) _exit(2);
    options.uids = OwnerMap({{.guest = 0, .host = 990}});
    options.gids = OwnerMap({{.guest = 0, .host = 991}});
    tree_ = *HostTree::Open(options);
    const FoundNode file = MakeFile(kRootNode, "file", {.umask = 022}, 0);
    const FoundNode directory = MakeDirectory(kRootNode, "dir");
    if (Set(file.id, {.mode = 0600}) != 0 || Set(directory.id, {.mode = 0}) != 0) _exit(3);
    if (Set(directory.id, {.mode = 0700, .uid = 0, .gid = 0}) != 0) _exit(4);
    if (file.attributes.uid != 0 || HostStatus("file").st_uid != 990) _exit(5);
    if (Set(Find(kRootNode, "of-root"), {.mode = 0777}) != EPERM) _exit(6);
    FoundNode found;
    if (tree_->MakeDirectory(kRootNode, "x", {.uid = 1}, 0755, found) != EPERM) _exit(7);
    _exit(HasFailure() ? 8 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0);
}

}  // namespace
}  // namespace virtio
