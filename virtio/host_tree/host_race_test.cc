// The host swaps a directory for a symbolic link to a secret, again and again, while the tree is
// walked and changed: nothing outside the root is ever opened or changed.

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "virtio/host_tree/host_tree.h"
#include "virtio/host_tree/temporary_tree_fixtures.h"

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

  std::atomic<bool> stop{false};
  std::thread swapper([&host, &stop] {
    while (!stop) {
      // Exchanging leaves no moment at which a name is missing.
      renameat2(AT_FDCWD, host.Path("root/dir").c_str(), AT_FDCWD, host.Path("root/link").c_str(),
                RENAME_EXCHANGE);
      renameat2(AT_FDCWD, host.Path("root/other/file").c_str(), AT_FDCWD,
                host.Path("root/other/link").c_str(), RENAME_EXCHANGE);
    }
  });
  Walk walk;
  // Longer on a machine so busy that the two have hardly met.
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
      tree->ReadDirectory(directory.id, 0, [](const DirectoryEntry&) { return true; });
    }
    tree->ForgetAll();
  }
  stop = true;
  swapper.join();
  EXPECT_FALSE(walk.saw_secret);
  EXPECT_GT(walk.opened, 0);
  EXPECT_GT(walk.refused, 0);
}

// What is outside the root: names, content, modes and times.
std::string Describe(const std::string& directory) {
  std::string all;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    struct stat status;
    EXPECT_EQ(lstat(entry.path().c_str(), &status), 0);
    absl::StrAppend(&all, entry.path().string(), " ", status.st_mode, " ", status.st_uid, " ",
                    status.st_size, " ", status.st_mtim.tv_nsec, " ", status.st_ctim.tv_nsec, " ",
                    status.st_nlink, "\n");
  }
  struct stat status;
  EXPECT_EQ(stat(directory.c_str(), &status), 0);
  return absl::StrCat(all, status.st_mode, " ", status.st_mtim.tv_nsec, " ",
                      status.st_ctim.tv_nsec);
}

// Tries every change in and of `directory` while that may be anything; returns how many were made.
int ChangeAll(HostTree& tree, NodeId directory, uint32_t turn) {
  int made = 0;
  FoundNode found;
  std::unique_ptr<HostFile> file;
  FileAttributes attributes;
  const auto count = [&made](int error) { made += error == 0 ? 1 : 0; };
  const AttributeChanges changes = {.mode = 0600 + turn % 8,
                                    .uid = 0,
                                    .size_bytes = turn % 100,
                                    .modified = {static_cast<time_t>(turn), 5}};
  for (const char* name : {"file", "link", "new"}) {
    if (tree.Lookup(directory, name, found) != 0) continue;
    count(tree.SetAttributes(found.id, changes, nullptr, attributes));
    count(tree.SetXattr(found.id, "user.a", "b", 0));
    if (tree.OpenFile(found.id, O_RDWR | O_TRUNC, file) == 0) {
      count(pwrite(file->fd(), "guest", 5, 0) == 5 ? 0 : EIO);
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

TEST(HostTreeRace, SwappingLinksInNeverChangesWhatIsOutside) {
  TemporaryTree host(testing::TempDir());
  host.Write("secret/file", "secret");
  host.Write("secret/new", "secret");
  host.Directory("secret/below");
  host.Write("root/dir/file", "public");
  host.Link("../secret", "root/link");
  host.Link("../../secret/file", "root/dir/link");
  const std::string before = Describe(host.Path("secret"));
  HostTree::Options options;
  options.name = "fs[0]";
  options.path = host.Path("root");
  options.writable = true;
  options.uids = OwnerMap({{.guest = 0, .host = geteuid()}, {.guest = 7, .host = geteuid()}});
  options.gids = OwnerMap({{.guest = 0, .host = getegid()}});
  options.max_directories = 2;
  const auto tree = *HostTree::Open(options);

  std::atomic<bool> stop{false};
  std::thread swapper([&host, &stop] {
    while (!stop) {
      renameat2(AT_FDCWD, host.Path("root/dir").c_str(), AT_FDCWD, host.Path("root/link").c_str(),
                RENAME_EXCHANGE);
      for (const char* name : {"file", "new"}) {
        renameat2(AT_FDCWD, host.Path(absl::StrCat("root/dir/", name)).c_str(), AT_FDCWD,
                  host.Path("root/dir/link").c_str(), RENAME_EXCHANGE);
      }
    }
  });
  int made = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(1500);
  for (uint32_t turn = 0; std::chrono::steady_clock::now() < end; ++turn) {
    for (const char* name : {"dir", "link"}) {
      FoundNode directory;
      if (tree->Lookup(kRootNode, name, directory) != 0) continue;
      made += ChangeAll(*tree, directory.id, turn);
      FileAttributes attributes;
      tree->SetAttributes(directory.id, {.mode = 0755}, nullptr, attributes);
    }
    tree->ForgetAll();
  }
  stop = true;
  swapper.join();
  EXPECT_EQ(Describe(host.Path("secret")), before);
  EXPECT_GT(made, 0);
}

}  // namespace
}  // namespace virtio
