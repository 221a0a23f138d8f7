// A thread of the host that exchanges files and directories of a share with links that lead out of
// it, for tests.
#ifndef VIRTIO_HOST_TREE_TESTING_HOST_RACE_FIXTURES_H_
#define VIRTIO_HOST_TREE_TESTING_HOST_RACE_FIXTURES_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "virtio/host_tree/testing/temporary_tree_fixtures.h"

namespace virtio {

// Exchanges the two names of each pair below "root" again and again. There is no moment at which
// one of the names is missing.
class NameSwapper {
 public:
  using Pairs = std::vector<std::pair<std::string, std::string>>;

  NameSwapper(const TemporaryTree& host, const Pairs& pairs) {
    for (const auto& [a, b] : pairs) {
      paths_.emplace_back(host.Path("root/" + a), host.Path("root/" + b));
    }
    thread_ = std::thread([this] {
      while (!stop_) {
        for (const auto& [a, b] : paths_) {
          renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE);
        }
      }
    });
  }
  ~NameSwapper() {
    stop_ = true;
    thread_.join();
  }
  NameSwapper(const NameSwapper&) = delete;
  NameSwapper& operator=(const NameSwapper&) = delete;

 private:
  Pairs paths_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// Describes everything outside "root": names, and all attributes in which a change leaves traces.
inline std::string DescribeOutside(const TemporaryTree& host) {
  std::string all;
  std::filesystem::recursive_directory_iterator end;
  for (auto it = std::filesystem::recursive_directory_iterator(host.path()); it != end; ++it) {
    absl::StrAppend(&all, it->path().string());
    if (it->path() == host.Path("root")) {
      it.disable_recursion_pending();
    } else {
      struct stat status;
      EXPECT_EQ(lstat(it->path().c_str(), &status), 0);
      absl::StrAppend(&all, " ", status.st_mode, " ", status.st_uid, " ", status.st_size, " ",
                      status.st_mtim.tv_sec, ".", status.st_mtim.tv_nsec, " ",
                      status.st_ctim.tv_sec, ".", status.st_ctim.tv_nsec, " ", status.st_nlink);
    }
    absl::StrAppend(&all, "\n");
  }
  return all;
}

}  // namespace virtio

#endif  // VIRTIO_HOST_TREE_TESTING_HOST_RACE_FIXTURES_H_
