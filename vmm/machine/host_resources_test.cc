// The exact messages, with their advice, for objects that a valid config names and that cannot be
// used.

#include "vmm/machine/host_resources.h"

#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"
#include "vmm/config/load_config.h"

namespace vmm {
namespace {

class HostResourcesTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "vmm-host-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    for (const char* name : {"kernel", "private", "paths"}) std::ofstream(Path(name)) << "text";
    std::ofstream(Path("empty")) << "";
    ASSERT_EQ(chmod(Path("private").c_str(), 0), 0);
    ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0644), 0);
    std::filesystem::create_directory(Path("folder"));
    std::filesystem::create_directory(Path("secret"));
    std::filesystem::create_directory(Path("secret/folder"));
    ASSERT_EQ(chmod(folder_.c_str(), 0755), 0);
    ASSERT_EQ(chmod(Path("secret").c_str(), 0), 0);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }

  // Opens what a machine with `keys` needs and returns the error without the folder's name.
  std::string Error(const std::string& keys) {
    const auto config = ParseVmConfig(
        absl::StrCat(
            R"({"console": {"mode": "Null"}, )",
            keys.find("payload") == std::string::npos ? R"("payload": {"kernel": "kernel"}, )" : "",
            R"("memory": {"size": "64M"}, )", keys, "}"),
        {.source = "test", .base_dir = folder_});
    if (!config.ok()) return absl::StrCat("config: ", config.status().message());
    // Root may open everything, so the test drops root for the attempt.
    const uid_t before = geteuid();
    EXPECT_EQ(seteuid(before == 0 ? 65534 : before), 0);
    const auto host = HostResources::Open(
        *config, [] { return 39u; }, [] {});
    EXPECT_EQ(seteuid(before), 0);
    return absl::StrReplaceAll(host.status().message(), {{folder_ + "/", ""}});
  }

  std::string folder_;
};

TEST_F(HostResourcesTest, ErrorsNameTheKeyTheObjectAndTheAdvice) {
  const struct {
    const char* keys;
    const char* message;
  } table[] = {
      {R"("payload": {"kernel": "none"})",
       "payload.kernel: none: cannot open: No such file or directory (ENOENT); check what the key "
       "names"},
      {R"("payload": {"kernel": "private"})",
       "payload.kernel: private: cannot open: Permission denied (EACCES); give this user read "
       "access to it"},
      {R"("payload": {"kernel": "folder"})",
       "payload.kernel: folder: not a regular file; give the file itself"},
      {R"("payload": {"kernel": "fifo"})",
       "payload.kernel: fifo: not a regular file; give the file itself"},
      {R"("payload": {"kernel": "kernel", "initramfs": "none"})",
       "payload.initramfs: none: cannot open: No such file or directory (ENOENT); check what the "
       "key names"},
      {R"("payload": {"kernel": "kernel", "initramfs": "private"})",
       "payload.initramfs: private: cannot open: Permission denied (EACCES); give this user read "
       "access to it"},
      {R"("rng": {"src": "none"})",
       "rng.src: none: cannot open for reading: No such file or directory (ENOENT); name a file "
       "that this user may read, such as /dev/urandom"},
      {R"("rng": {"src": "private"})",
       "rng.src: private: cannot open for reading: Permission denied (EACCES); name a file that "
       "this user may read, such as /dev/urandom"},
      {R"("fs": [{"tag": "s", "path": "none", "readonly": true}])",
       "fs[0].path: none: cannot open the directory: No such file or directory (ENOENT); name a "
       "directory that exists"},
      {R"("fs": [{"tag": "s", "path": "kernel", "readonly": true}])",
       "fs[0].path: kernel: cannot open the directory: Not a directory (ENOTDIR); name a "
       "directory, not a file"},
      {R"("fs": [{"tag": "s", "path": "secret/folder", "readonly": true}])",
       "fs[0].path: secret/folder: cannot open the directory: Permission denied (EACCES); give "
       "this user access to it and to those above it"},
      {R"("fs": [{"tag": "s", "path": "folder", "closure": "none", "readonly": true}])",
       "fs[0].closure: none: cannot open: No such file or directory (ENOENT); name a file that "
       "this user may read"},
      {R"("fs": [{"tag": "s", "path": "folder", "closure": "none/paths", "readonly": true}])",
       "fs[0].closure: none/paths: cannot open its directory: No such file or directory (ENOENT); "
       "name a file that this user may read"},
      {R"("fs": [{"tag": "s", "path": "folder", "closure": "secret", "readonly": true}])",
       "fs[0].closure: secret: cannot open: Permission denied (EACCES); name a file that this user "
       "may read"},
      {R"("fs": [{"tag": "s", "path": "folder", "closure": "folder", "readonly": true}])",
       "fs[0].closure: folder: not a regular file; name a file that this user may read"},
      {R"("name": "a", "net": [{"socket": "none"}])",
       "net[0].socket: none: cannot connect: No such file or directory (ENOENT); start passt "
       "--socket with this path"},
      {R"("name": "a", "net": [{"socket": "private"}])",
       "net[0].socket: private: cannot connect: Permission denied (EACCES); let this user write to "
       "the socket"},
      {R"("serial": {"mode": "File", "file": "none/out"})",
       "serial.file: none/out: cannot open for writing (make its folder first): No such file or "
       "directory (ENOENT)"},
  };
  for (const auto& row : table) EXPECT_EQ(Error(row.keys), row.message) << row.keys;
}

// The message must not say "in use by another process": no other process uses the image.
TEST_F(HostResourcesTest, SameImageInTwoDisksIsAnErrorThatNamesBoth) {
  for (const char* name : {"a.raw", "b.raw"}) {
    std::ofstream(Path(name)) << std::string(4096, 'x');
    ASSERT_EQ(chmod(Path(name).c_str(), 0666), 0);
  }
  std::filesystem::create_symlink("a.raw", Path("link.raw"));
  std::filesystem::create_hard_link(Path("a.raw"), Path("hard.raw"));
  for (const std::string name : {"link.raw", "hard.raw", "folder/../a.raw"}) {
    EXPECT_EQ(Error(absl::StrCat(R"("disks": [{"path": "a.raw"}, {"path": ")", name, R"("}])")),
              absl::StrCat("disks[1].path: ", name,
                           ": is the same image as disks[0].path, a.raw; "
                           "give each disk its own, or set readonly in both"));
  }
  EXPECT_EQ(Error(R"("disks": [{"path": "b.raw"}, {"path": "a.raw", "readonly": true},
                     {"path": "link.raw"}])"),
            "disks[2].path: link.raw: is the same image as disks[1].path, a.raw; give each disk "
            "its own, or set readonly in both");
  EXPECT_EQ(Error(R"("disks": [{"path": "a.raw", "readonly": true},
                     {"path": "link.raw", "readonly": true}, {"path": "b.raw"}])"),
            "");
}

// Every fourth share is on the same thread, so the loop of that thread must have room for the
// doorbells of all these shares.
TEST_F(HostResourcesTest, SharesMayHaveAsManyQueuesAsTheConfigAllows) {
  std::string shares;
  for (int i = 0; i < 13; ++i) {
    absl::StrAppend(&shares, i == 0 ? "" : ", ",
                    R"({"path": "folder", "readonly": true, "tag": "s)", i,
                    R"(", "queue_size": 8, "num_queues": )", i % 4 == 0 ? 64 : 1, "}");
  }
  EXPECT_EQ(Error(absl::StrCat(R"("fs": [)", shares, "]")), "");
}

// A reboot loads the guest from the same HostResources.
TEST_F(HostResourcesTest, CredentialsStayWhatTheFilesHadAtTheStart) {
  std::ofstream(Path("token")) << "first";
  const auto config = ParseVmConfig(R"({"console": {"mode": "Null"}, "memory": {"size": "64M"},
      "payload": {"kernel": "kernel"}, "platform": {"credentials": {"t": {"file": "token"}}}})",
                                    {.source = "test", .base_dir = folder_});
  ASSERT_TRUE(config.ok()) << config.status();
  const auto host = HostResources::Open(
      *config, [] { return 39u; }, [] {});
  ASSERT_TRUE(host.ok()) << host.status();
  const std::vector<std::string> first = {"io.systemd.credential:t=first"};
  EXPECT_EQ((*host)->credentials(), first);
  std::ofstream(Path("token")) << "second";
  EXPECT_EQ((*host)->credentials(), first);
  std::filesystem::remove(Path("token"));
  EXPECT_EQ((*host)->credentials(), first);
}

TEST_F(HostResourcesTest, RateLimitsCanBeSetByTheIdOfADeviceOrAGroup) {
  for (const char* name : {"a.raw", "b.raw"}) std::ofstream(Path(name)) << std::string(4096, 'x');
  const auto config = ParseVmConfig(R"({"console": {"mode": "Null"}, "memory": {"size": "64M"},
      "payload": {"kernel": "kernel"}, "rate_limit_groups": [{"id": "slow"}],
      "disks": [{"path": "a.raw"}, {"path": "b.raw", "rate_limit_group": "slow"}]})",
                                    {.source = "test", .base_dir = folder_});
  ASSERT_TRUE(config.ok()) << config.status();
  const auto host = HostResources::Open(
      *config, [] { return 39u; }, [] {});
  ASSERT_TRUE(host.ok()) << host.status();
  RateLimiterConfig limits;
  limits.ops.size = 1;
  limits.ops.refill_time = 1000;
  const auto error = [&](const std::string& id) {
    return std::string((*host)->SetRateLimits(id, limits).message());
  };
  EXPECT_EQ(error("_disk0"), "");
  EXPECT_EQ(error("slow"), "");
  EXPECT_EQ(error("_disk1"),
            "_disk1: its limit is that of the group slow; give the id of the group");
  EXPECT_EQ(error("_rng"), "_rng: has no rate limits");
  EXPECT_EQ(error("fast"), "fast: no such device or group");
  EXPECT_EQ((*host)->SetRateLimits("fast", limits).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ((*host)->SetLink("_disk0", true),
            absl::InvalidArgumentError("_disk0: is no network device"));
  EXPECT_EQ((*host)->SetLink("_net0", true), absl::NotFoundError("_net0: no such device"));
}

}  // namespace
}  // namespace vmm
