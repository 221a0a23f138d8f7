// The host swaps a directory for a symbolic link to a secret, again and again, while the tree is
// walked: nothing outside the root is ever opened.

#include <errno.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <stdio.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>

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
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(1500);
  while (std::chrono::steady_clock::now() < end) {
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

}  // namespace
}  // namespace virtio
