// Tests changes of a tree: afterwards, the host has exactly what the guest asked for.

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "virtio/host_tree/testing/host_changes_fixtures.h"

namespace virtio {
namespace {

// Every kind of change. Each change uses names that exist or not, as the change needs.
std::vector<
    std::pair<std::string, std::function<HostError(HostTree&, NodeId file, NodeId directory)>>>
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
  const std::string bytes("\xff\x01 -n\n\\", 7);  // every other name is allowed
  MakeFile(directory, bytes);
  EXPECT_TRUE(OnHost(absl::StrCat("dir/", bytes)));
}

TEST_F(HostChangesTest, NodesThatTheGuestDoesNotHoldAreStale) {
  Open();
  const NodeId forgotten = MakeFile(kRootNode, "file").id;
  tree_->Forget(forgotten, 1);
  for (const auto& [name, change] : AllChanges()) {
    for (const NodeId id : {forgotten, NodeId{0}, NodeId{77}, NodeId{~uint64_t{0}}}) {
      EXPECT_EQ(change(*tree_, id, id), ESTALE) << name;
    }
  }
}

// --- Links, removal, names -----------------------------------------------------------------------

TEST_F(HostChangesTest, ALinkIsANameOfTheFileItself) {
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
  // Every use of the node still works, while no file has the name, or another one has.
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
  // The guest may forget the node before it closes the file.
  const size_t nodes = tree_->node_count();
  EXPECT_FALSE(tree_->Forget(found.id, 1));
  again.reset();
  file.reset();
  EXPECT_EQ(tree_->node_count(), nodes - 1);
}

TEST_F(HostChangesTest, ADirectoryThatTheGuestKnowsOutlivesItsName) {
  Open(true, 2);
  const NodeId directory = MakeDirectory(kRootNode, "dir").id;
  EXPECT_EQ(tree_->RemoveDirectory(kRootNode, "dir"), 0);
  EXPECT_EQ(Attributes(directory).links, 0U);
  FoundNode found;
  EXPECT_EQ(tree_->MakeDirectory(directory, "x", kRoot, 0755, found), ENOENT);
  // Once other directories need the descriptor, the node is stale. No other directory is mistaken
  // for the removed one.
  MakeDirectory(kRootNode, "dir");
  for (const char* name : {"a", "b", "c"}) MakeFile(MakeDirectory(kRootNode, name).id, "x");
  FileAttributes attributes;
  EXPECT_EQ(tree_->GetAttributes(directory, attributes), ESTALE);
  EXPECT_EQ(Set(directory, {.mode = 0}), ESTALE);
  EXPECT_EQ(HostStatus("dir").st_mode, S_IFDIR | 0755U);
  EXPECT_LE(tree_->open_directories(), 2U);
}

TEST_F(HostChangesTest, ARemovedFileThatIsNotOpenIsNotHeld) {
  Open();
  const NodeId file = MakeFile(kRootNode, "file").id;
  const NodeId replaced = MakeFile(kRootNode, "replaced").id;
  MakeFile(kRootNode, "new");
  EXPECT_EQ(tree_->Unlink(kRootNode, "file"), 0);
  EXPECT_EQ(tree_->Rename(kRootNode, "new", kRootNode, "replaced", 0), 0);
  EXPECT_EQ(tree_->open_directories(), 0U);
  FileAttributes attributes;
  EXPECT_EQ(tree_->GetAttributes(file, attributes), ESTALE);
  EXPECT_EQ(tree_->GetAttributes(replaced, attributes), ESTALE);
  MakeFile(kRootNode, "file");  // must not be mistaken for the old file
  EXPECT_EQ(Set(file, {.mode = 0}), ESTALE);
  EXPECT_EQ(HostStatus("file").st_mode, S_IFREG | 0644U);
}

TEST_F(HostChangesTest, AFileIsFoundByTheNameThatIsLeft) {
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

TEST_F(HostChangesTest, RemovingTheWrongTypeFails) {
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
  // They are found there even if none of them is open any more and a new file has the old name.
  MakeFile(MakeDirectory(from, "moved").id, "file");
  for (const char* name : {"a", "b", "c"}) MakeFile(MakeDirectory(kRootNode, name).id, "x");
  EXPECT_EQ(Attributes(file).inode, HostStatus("x/y/to/here/file").st_ino);
  EXPECT_EQ(Find(to, "here"), moved);
  EXPECT_EQ(LookupError(from, "none"), ENOENT);
}

// An overlay in the guest needs this of its upper layer.
TEST_F(HostChangesTest, RenameLeavesAWhiteout) {
  Open();
  const NodeId file = MakeFile(kRootNode, "file").id;
  const NodeId directory = MakeDirectory(kRootNode, "dir").id;
  ASSERT_EQ(tree_->Rename(kRootNode, "file", directory, "moved", RENAME_WHITEOUT), 0);
  EXPECT_EQ(Find(directory, "moved"), file);
  const struct stat whiteout = HostStatus("file");
  EXPECT_EQ(whiteout.st_mode & S_IFMT, mode_t{S_IFCHR});
  EXPECT_EQ(whiteout.st_rdev, 0U);
  EXPECT_NE(Find(kRootNode, "file"), file);
  // Replaces another file, or refuses to replace it.
  MakeFile(kRootNode, "other");
  EXPECT_EQ(
      tree_->Rename(directory, "moved", kRootNode, "other", RENAME_WHITEOUT | RENAME_NOREPLACE),
      EEXIST);
  EXPECT_EQ(tree_->Rename(directory, "moved", kRootNode, "other", RENAME_WHITEOUT), 0);
  EXPECT_EQ(Find(kRootNode, "other"), file);
  EXPECT_EQ(HostStatus("dir/moved").st_mode & S_IFMT, mode_t{S_IFCHR});
  // A directory moves with everything below it.
  ASSERT_EQ(tree_->Rename(kRootNode, "dir", kRootNode, "other-dir", RENAME_WHITEOUT), 0);
  EXPECT_EQ(Find(kRootNode, "other-dir"), directory);
  EXPECT_EQ(HostStatus("dir").st_mode & S_IFMT, mode_t{S_IFCHR});
}

TEST_F(HostChangesTest, AWhiteoutBelongsToTheCallerOfTheRename) {
  if (geteuid() != 0) GTEST_SKIP() << "needs to give files away";
  HostTree::Options options;
  options.name = "fs[0]";
  options.path = host_.Path("root");
  options.writable = true;
  options.uids = OwnerMap({{.guest = 0, .host = 5000, .count = 2}});
  options.gids = OwnerMap({{.guest = 0, .host = 6000, .count = 2}});
  OpenWith(std::move(options));
  MakeFile(kRootNode, "file");
  EXPECT_EQ(
      tree_->Rename(kRootNode, "file", kRootNode, "moved", RENAME_WHITEOUT, {.uid = 7, .gid = 0}),
      EPERM);
  EXPECT_EQ(
      tree_->Rename(kRootNode, "file", kRootNode, "moved", RENAME_WHITEOUT, {.uid = 1, .gid = 1}),
      0);
  EXPECT_EQ(HostStatus("file").st_uid, 5001U);
  EXPECT_EQ(HostStatus("file").st_gid, 6001U);
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
  FileAttributes attributes;
  EXPECT_EQ(tree_->GetAttributes(b, attributes), ESTALE);
  EXPECT_EQ(tree_->Rename(kRootNode, "none", kRootNode, "a", 0), ENOENT);
  EXPECT_EQ(tree_->Rename(kRootNode, "a", kRootNode, "none", RENAME_EXCHANGE), ENOENT);
  EXPECT_EQ(tree_->Rename(kRootNode, "a", kRootNode, "c", RENAME_WHITEOUT | RENAME_EXCHANGE),
            EINVAL);
  EXPECT_EQ(tree_->Rename(kRootNode, "a", kRootNode, "c", RENAME_NOREPLACE | RENAME_EXCHANGE),
            EINVAL);
  EXPECT_EQ(tree_->Rename(kRootNode, "a", kRootNode, "c", ~0U), EINVAL);
  const NodeId directory = MakeDirectory(kRootNode, "dir").id;
  EXPECT_EQ(tree_->Rename(kRootNode, "dir", directory, "below", 0), EINVAL);
  // If both names are of one file, nothing happens, and both names stay.
  FoundNode found;
  ASSERT_EQ(tree_->Link(a, kRootNode, "twin", found), 0);
  EXPECT_EQ(tree_->Rename(kRootNode, "a", kRootNode, "twin", 0), 0);
  EXPECT_EQ(Attributes(a).links, 2U);
}

TEST_F(HostChangesTest, AForgottenDirectoryEndsWhenItsLastChildMovesAway) {
  Open(true, 2);
  const NodeId from = MakeDirectory(kRootNode, "from").id;
  MakeFile(from, "file");
  tree_->Forget(from, 1);
  EXPECT_TRUE(tree_->Knows(from));
  ASSERT_EQ(tree_->Rename(from, "file", kRootNode, "file", 0), 0);
  EXPECT_FALSE(tree_->Knows(from));
  EXPECT_EQ(tree_->node_count(), 2U);
}

}  // namespace
}  // namespace virtio
