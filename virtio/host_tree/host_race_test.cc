// Tests that nothing outside the root is ever opened or changed while the tree is walked and
// changed, and the host swaps a directory for a symbolic link to a secret again and again.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <thread>

#include "virtio/host_tree/host_tree.h"
#include "virtio/host_tree/testing/host_race_fixtures.h"
#include "virtio/host_tree/testing/temporary_tree_fixtures.h"

namespace virtio {
namespace {

struct Walk {
  int opened = 0;
  int refused = 0;
  bool saw_secret = false;

  void Read(HostTree& tree, NodeId file) {
    base::UniqueFd fd;
    if (tree.OpenFile(file, fd) != 0) {
      ++refused;
      return;
    }
    char bytes[16] = {};
    EXPECT_GT(read(fd.get(), bytes, sizeof(bytes) - 1), 0);
    saw_secret |= std::string(bytes) == "secret";
    ++opened;
  }
};

TEST(HostTreeRace, SwappingLinksInNeverLeadsOut) {
  TemporaryTree host(testing::TempDir());
  host.Write("secret/file", "secret");
  host.Write("root/dir/file", "public");
  host.Write("root/other/file", "public");
  host.Link("../secret", "root/link");
  host.Link("../../secret/file", "root/other/link");
  HostTree::Options options;
  options.path = host.Path("root");
  options.max_directories = 2;
  const auto tree = *HostTree::Open(options);

  const NameSwapper swapper(host, {{"dir", "link"}, {"other/file", "other/link"}});
  Walk walk;
  // The test runs longer on a machine so busy that walk and swapper have hardly met.
  const auto start = std::chrono::steady_clock::now();
  const auto elapsed = [&start] { return std::chrono::steady_clock::now() - start; };
  while (elapsed() < std::chrono::milliseconds(1500) ||
         ((walk.opened == 0 || walk.refused == 0) && elapsed() < std::chrono::seconds(60))) {
    for (const char* name : {"dir", "link", "other"}) {
      FoundNode directory;
      FoundNode file;
      if (tree->Lookup(kRootNode, name, directory) != 0) continue;
      if (tree->Lookup(directory.id, "file", file) == 0) walk.Read(*tree, file.id);
      if (tree->Lookup(directory.id, "link", file) == 0) walk.Read(*tree, file.id);
      tree->ReadDirectory(directory.id, 0, [](const DirectoryEntry&) { return true; }).Ignore();
    }
    tree->ForgetAll();
  }
  EXPECT_FALSE(walk.saw_secret);
  EXPECT_GT(walk.opened, 0);
  EXPECT_GT(walk.refused, 0);
}

// Tries every change in and of `directory`, which may be any file by then. Returns how many changes
// were made.
int ChangeAll(HostTree& tree, NodeId directory, uint32_t turn) {
  int made = 0;
  FoundNode found;
  std::unique_ptr<HostFile> file;
  FileAttributes attributes;
  const auto count = [&made](HostError error) { made += error == 0 ? 1 : 0; };
  const AttributeChanges changes = {.mode = 0600 + turn % 8,
                                    .uid = 0,
                                    .size_bytes = turn % 100,
                                    .modified = {static_cast<time_t>(turn), 5}};
  for (const char* name : {"file", "link", "new"}) {
    if (tree.Lookup(directory, name, found) != 0) continue;
    count(tree.SetAttributes(found.id, changes, nullptr, attributes));
    count(tree.SetXattr(found.id, "user.a", "b", 0));
    if (tree.OpenFile(found.id, O_RDWR | O_TRUNC, file) == 0) {
      made += pwrite(file->fd(), "guest", 5, 0) == 5 ? 1 : 0;
    }
    file.reset();
    count(tree.Link(found.id, directory, "hard", found));
  }
  count(tree.Create(directory, "new", {}, 0644, O_RDWR | O_TRUNC, found, file));
  file.reset();
  count(tree.Create(directory, "link", {}, 0644, O_RDWR | O_TRUNC, found, file));
  file.reset();
  count(tree.MakeDirectory(directory, "below", {.uid = 7}, 0755, found));
  count(tree.MakeSymlink(directory, "symlink", {.uid = 7}, "../../secret", found));
  count(tree.MakeNode(directory, "pipe", {.uid = 7}, S_IFIFO | 0600, 0, 0, found));
  count(tree.Rename(directory, "new", kRootNode, "moved", 0));
  count(tree.Rename(kRootNode, "moved", directory, "file", turn % 2 == 0 ? 0 : RENAME_EXCHANGE));
  for (const char* name : {"new", "pipe", "symlink", "hard"}) count(tree.Unlink(directory, name));
  count(tree.RemoveDirectory(directory, "below"));
  return made;
}

// Does the same for changes between two directories.
int MoveAll(HostTree& tree, NodeId one, NodeId two) {
  int made = 0;
  FoundNode found;
  const auto count = [&made](HostError error) { made += error == 0 ? 1 : 0; };
  for (const char* name : {"file", "link", "new", "below"}) {
    count(tree.Rename(one, name, two, "moved", 0));
    count(tree.Rename(two, "moved", one, name, RENAME_NOREPLACE));
    if (tree.Lookup(one, name, found) == 0) count(tree.Link(found.id, two, "linked", found));
    count(tree.Unlink(two, "linked"));
  }
  return made;
}

TEST(HostTreeRace, NothingOutsideChangesWhileTheHostSwapsLinks) {
  TemporaryTree host(testing::TempDir());
  host.Write("secret/file", "secret");
  host.Write("secret/new", "secret");
  host.Directory("secret/below");
  host.Write("root/dir/file", "public");
  host.Link("../secret", "root/link");
  host.Link("../../secret/file", "root/dir/link");
  host.Directory("root/two");
  host.Link("..", "root/link-two");
  const std::string before = DescribeOutside(host);
  HostTree::Options options;
  options.name = "fs[0]";
  options.path = host.Path("root");
  options.writable = true;
  options.uids = OwnerMap({{.guest = 0, .host = geteuid()}, {.guest = 7, .host = geteuid()}});
  options.gids = OwnerMap({{.guest = 0, .host = getegid()}});
  options.max_directories = 2;
  const auto tree = *HostTree::Open(options);

  std::optional<NameSwapper> swapper;
  swapper.emplace(
      host,
      NameSwapper::Pairs{
          {"dir", "link"}, {"two", "link-two"}, {"dir/file", "dir/link"}, {"dir/new", "dir/link"}});
  int made = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(1500);
  for (uint32_t turn = 0; std::chrono::steady_clock::now() < end; ++turn) {
    for (const char* name : {"dir", "link"}) {
      FoundNode directory;
      if (tree->Lookup(kRootNode, name, directory) != 0) continue;
      made += ChangeAll(*tree, directory.id, turn);
      FoundNode two;
      if (tree->Lookup(kRootNode, turn % 2 == 0 ? "two" : "link-two", two) == 0) {
        made += MoveAll(*tree, directory.id, two.id);
      }
      FileAttributes attributes;
      tree->SetAttributes(directory.id, {.mode = 0755}, nullptr, attributes).Ignore();
    }
    tree->ForgetAll();
  }
  swapper.reset();
  EXPECT_EQ(DescribeOutside(host), before);
  EXPECT_GT(made, 0);
}

std::unique_ptr<HostTree> OpenWritable(TemporaryTree& host) {
  host.Directory("root");
  HostTree::Options options;
  options.name = "fs[0]";
  options.path = host.Path("root");
  options.writable = true;
  return *HostTree::Open(options);
}

TEST(HostTreeRace, FilesOfTheHostThatAreSwappedInAreNotGivenAway) {
  if (geteuid() != 0) GTEST_SKIP() << "needs other owners";
  TemporaryTree host(testing::TempDir());
  const auto tree = OpenWritable(host);

  const NameSwapper swapper(host, {{"hosts", "new"}});
  int made = 0;
  for (int turn = 0; turn < 400; ++turn) {
    const bool directory = turn % 2 == 0;
    host.Write(directory ? "root/hosts/file" : "root/hosts", "content");
    const base::UniqueFd file(open(host.Path("root/hosts").c_str(), O_RDONLY | O_CLOEXEC));
    FoundNode found;
    const Caller caller = {.uid = 1000, .gid = 100};
    const HostError error =
        directory ? tree->MakeDirectory(kRootNode, "new", caller, 0700, found)
                  : tree->MakeNode(kRootNode, "new", caller, S_IFREG | 0600, 0, 0, found);
    made += error == 0 ? 1 : 0;
    struct stat status;
    ASSERT_EQ(fstat(file.get(), &status), 0);
    ASSERT_EQ(status.st_uid, 0U) << "in turn " << turn;
    tree->ForgetAll();
    for (const char* name : {"root/hosts", "root/new"}) {
      const std::string path = host.Path(name);
      std::error_code ignored;
      // Removes the file again if it was swapped meanwhile.
      while (std::filesystem::exists(path)) std::filesystem::remove_all(path, ignored);
    }
  }
  EXPECT_GT(made, 0);
}

TEST(HostTreeRace, PipesOfTheHostThatAreSwappedInAreNotGivenAway) {
  if (geteuid() != 0) GTEST_SKIP() << "needs other owners";
  TemporaryTree host(testing::TempDir());
  const auto tree = OpenWritable(host);
  const std::string path = host.Path("root/hosts");
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  const base::UniqueFd pipe(open(path.c_str(), O_PATH | O_CLOEXEC));
  struct statx born;
  ASSERT_EQ(statx(pipe.get(), "", AT_EMPTY_PATH, STATX_BTIME, &born), 0);
  if ((born.stx_mask & STATX_BTIME) == 0) GTEST_SKIP() << "needs times of birth";
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));

  const NameSwapper swapper(host, {{"hosts", "new"}});
  int made = 0;
  for (int turn = 0; turn < 400; ++turn) {
    FoundNode found;
    const Caller caller = {.uid = 1000, .gid = 100};
    const HostError error = tree->MakeNode(kRootNode, "new", caller, S_IFIFO | 0600, 0, 0, found);
    made += error == 0 ? 1 : 0;
    struct stat status;
    ASSERT_EQ(fstat(pipe.get(), &status), 0);
    ASSERT_EQ(status.st_uid, 0U) << "in turn " << turn;
    tree->ForgetAll();
    // Removes everything but the pipe of the host, wherever the swapper has put that pipe.
    const std::string kept = host.Path("kept");
    ASSERT_EQ(linkat(pipe.get(), "", AT_FDCWD, kept.c_str(), AT_EMPTY_PATH), 0);
    for (const char* name : {"root/hosts", "root/new"}) unlink(host.Path(name).c_str());
    ASSERT_EQ(rename(kept.c_str(), path.c_str()), 0);
  }
  EXPECT_GT(made, 0);
}

}  // namespace
}  // namespace virtio
