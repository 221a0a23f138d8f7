// Image locks together with those of other programs: QEMU (the real program if it is installed,
// otherwise its bytes) and cloud-hypervisor.
#include "virtio/block/image_lock.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <set>
#include <string>
#include <tuple>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/unique_fd.h"

namespace virtio {
namespace {

using testing::HasSubstr;

void NoPause() {}

// Returns whether any descriptor but `fd` has locked one of the bytes, by asking for an exclusive
// lock of each.
bool IsLocked(int fd, off_t start, off_t length) {
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_start = start;
  lock.l_len = length;
  CHECK(fcntl(fd, F_OFD_GETLK, &lock) == 0);
  return lock.l_type != F_UNLCK;
}

bool Lock(int fd, short type, off_t start, off_t length) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_start = start;
  lock.l_len = length;
  return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

class ImageLockTest : public testing::Test {
 protected:
  ImageLockTest() : path_(absl::StrCat(testing::TempDir(), "/locked-XXXXXX")) {
    const int fd = mkstemp(path_.data());
    CHECK(fd >= 0 && ftruncate(fd, 1 << 20) == 0);
    close(fd);
  }
  ~ImageLockTest() override { unlink(path_.c_str()); }

  base::UniqueFd Open(bool readonly = false) const {
    return base::UniqueFd(open(path_.c_str(), (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC));
  }
  // Takes the locks as this program does. They are held while the result is open.
  std::optional<base::UniqueFd> Vmm(bool readonly) const {
    base::UniqueFd fd = Open(readonly);
    if (!LockImage(fd.get(), readonly, "disk", NoPause).ok()) return std::nullopt;
    return fd;
  }

  std::string path_;
};

// --- Bytes ---

TEST_F(ImageLockTest, AReaderAndAWriterLockTheBytesOfQemu) {
  const base::UniqueFd other = Open();
  for (const bool readonly : {true, false}) {
    const auto vmm = Vmm(readonly);
    ASSERT_TRUE(vmm);
    std::set<off_t> locked;
    for (off_t byte = 100; byte < 300; ++byte) {
      if (IsLocked(other.get(), byte, 1)) locked.insert(byte);
    }
    EXPECT_EQ(locked, readonly ? (std::set<off_t>{100, 201, 203})
                               : (std::set<off_t>{100, 101, 103, 201, 203}));
    EXPECT_TRUE(IsLocked(other.get(), 0, 100));
    EXPECT_TRUE(IsLocked(other.get(), 300, 1));
    EXPECT_TRUE(IsLocked(other.get(), off_t{1} << 60, 1))
        << "the lock must cover the image even if it grows";
    // QEMU's bytes are always shared; the rest of the file separates readers from writers.
    EXPECT_TRUE(Lock(other.get(), F_RDLCK, 100, 200));
    EXPECT_EQ(Lock(other.get(), F_RDLCK, 0, 100), readonly);
    EXPECT_EQ(Lock(other.get(), F_RDLCK, 300, 0), readonly);
    UnlockImage(other.get());
  }
}

// Each byte that QEMU may hold with a shared lock: it uses a permission, or it denies the
// permission to others.
TEST_F(ImageLockTest, AReaderAndAWriterTestTheBytesOfQemu) {
  const base::UniqueFd other = Open();
  for (const bool readonly : {true, false}) {
    const std::set<off_t> tested =
        readonly ? std::set<off_t>{101, 103, 200} : std::set<off_t>{101, 103, 200, 201, 203};
    for (off_t byte = 100; byte < 300; ++byte) {
      ASSERT_TRUE(Lock(other.get(), F_RDLCK, byte, 1));
      EXPECT_EQ(Vmm(readonly).has_value(), !tested.contains(byte)) << byte << readonly;
      UnlockImage(other.get());
    }
  }
}

TEST_F(ImageLockTest, ImageHasManyReadersOrOneWriter) {
  for (const bool first : {true, false}) {
    const auto vmm = Vmm(first);
    ASSERT_TRUE(vmm);
    for (const bool second : {true, false}) {
      EXPECT_EQ(Vmm(second).has_value(), first && second) << first << second;
    }
  }
  EXPECT_TRUE(Vmm(false)) << "the locks must end with the descriptors";
}

// Cloud-hypervisor locks the whole file, or the range from 0 to the file's size.
TEST_F(ImageLockTest, CloudHypervisorCountsAsReaderOrWriter) {
  const base::UniqueFd other = Open();
  for (const off_t length : {off_t{0}, off_t{1} << 20}) {
    for (const bool vmm_reads : {true, false}) {
      for (const short type : {short{F_RDLCK}, short{F_WRLCK}}) {
        const bool both_read = vmm_reads && type == F_RDLCK;
        ASSERT_TRUE(Lock(other.get(), type, 0, length));
        EXPECT_EQ(Vmm(vmm_reads).has_value(), both_read) << "second, " << vmm_reads << type;
        UnlockImage(other.get());
        const auto vmm = Vmm(vmm_reads);
        ASSERT_TRUE(vmm);
        EXPECT_EQ(Lock(other.get(), type, 0, length), both_read) << "first, " << vmm_reads << type;
        UnlockImage(other.get());
      }
    }
  }
}

TEST_F(ImageLockTest, RefusedLockLeavesNoLocksBehind) {
  const base::UniqueFd other = Open();
  ASSERT_TRUE(Lock(other.get(), F_RDLCK, 101, 1));
  const base::UniqueFd fd = Open();
  EXPECT_FALSE(LockImage(fd.get(), false, "disk", NoPause).ok());
  UnlockImage(other.get());
  EXPECT_FALSE(IsLocked(other.get(), 0, 0));
}

TEST_F(ImageLockTest, UnlockReleasesAllLocks) {
  const auto vmm = Vmm(false);
  UnlockImage(vmm->get());
  EXPECT_FALSE(IsLocked(Open().get(), 0, 0));
}

// --- A lock that is released soon ---

// The descriptor that holds a lock while LockImage waits.
base::UniqueFd* g_holder = nullptr;
int g_pauses = 0;

void ReleaseAtTheThirdPause() {
  if (++g_pauses == 3) g_holder->reset();
}

TEST_F(ImageLockTest, LockOfAKilledVmIsWaitedFor) {
  for (const bool readonly : {true, false}) {
    g_pauses = 0;
    base::UniqueFd holder = Open();
    ASSERT_TRUE(LockImage(holder.get(), false, "disk", NoPause).ok());
    g_holder = &holder;
    const base::UniqueFd fd = Open(readonly);
    EXPECT_TRUE(LockImage(fd.get(), readonly, "disk", ReleaseAtTheThirdPause).ok());
    EXPECT_EQ(g_pauses, 3);
  }
}

TEST_F(ImageLockTest, HeldLockIsWaitedForASecond) {
  g_pauses = 0;
  const auto holder = Vmm(true);
  const base::UniqueFd fd = Open();
  const absl::Status status =
      LockImage(fd.get(), false, "disks[0].path: a.raw", [] { ++g_pauses; });
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("disks[0].path: a.raw: in use by another process, which holds a lock"));
  EXPECT_EQ((g_pauses + 1) * kImageLockPauseMs, 1000);
}

// --- The real QEMU ---

constexpr char kQemu[] = "/usr/bin/qemu-system-x86_64";

// A QEMU that uses the image as a guest's disk. The guest does not run.
class Qemu {
 public:
  Qemu(const std::string& image, bool readonly) {
    int to_test[2], from_test[2];
    CHECK(pipe(to_test) == 0 && pipe(from_test) == 0);
    const std::string drive =
        absl::StrCat("id=d,file=", image, ",format=raw,if=none,readonly=", readonly ? "on" : "off");
    pid_ = fork();
    if (pid_ == 0) {
      dup2(from_test[0], STDIN_FILENO);
      dup2(to_test[1], STDOUT_FILENO);
      dup2(to_test[1], STDERR_FILENO);
      for (int fd = 3; fd < 256; ++fd) close(fd);
      execl(kQemu, kQemu, "-M", "q35", "-m", "16", "-accel", "tcg", "-S", "-display", "none",
            "-nodefaults", "-drive", drive.c_str(), "-device", "virtio-blk-pci,drive=d", "-qmp",
            "stdio", nullptr);
      _exit(127);
    }
    close(to_test[1]);
    close(from_test[0]);
    output_fd_.reset(to_test[0]);
    input_fd_.reset(from_test[1]);
    // QEMU greets early, replies when all is set up, and exits with a message if the setup fails.
    const absl::string_view commands =
        R"({"execute": "qmp_capabilities"} {"execute": "query-status"})";
    CHECK(write(input_fd_.get(), commands.data(), commands.size()) > 0);
    char buffer[4096];
    for (ssize_t size; (size = read(output_fd_.get(), buffer, sizeof(buffer))) > 0;) {
      output_.append(buffer, static_cast<size_t>(size));
      if (absl::StrContains(output_, kAnswer)) break;
    }
  }
  ~Qemu() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  // Returns true if QEMU has the image, false if a lock keeps QEMU out. Any other result fails the
  // test.
  bool has_image() const {
    if (absl::StrContains(output_, kAnswer)) return true;
    EXPECT_THAT(output_, HasSubstr("lock")) << "QEMU failed for another reason";
    return false;
  }

 private:
  static constexpr char kAnswer[] = "\"status\"";

  pid_t pid_ = -1;
  base::UniqueFd output_fd_;
  base::UniqueFd input_fd_;
  std::string output_;
};

// Every pair of {this program, QEMU} x {reader, writer}, in both orders.
class BesideQemu : public ImageLockTest,
                   public testing::WithParamInterface<std::tuple<bool, bool>> {
 protected:
  void SetUp() override {
    if (access(kQemu, X_OK) != 0) GTEST_SKIP() << kQemu << " is not installed";
  }
  bool vmm_reads() const { return std::get<0>(GetParam()); }
  bool qemu_reads() const { return std::get<1>(GetParam()); }
  bool may_share() const { return vmm_reads() && qemu_reads(); }
};

TEST_P(BesideQemu, QemuMayOpenOnlyIfBothRead) {
  const auto vmm = Vmm(vmm_reads());
  ASSERT_TRUE(vmm);
  EXPECT_EQ(Qemu(path_, qemu_reads()).has_image(), may_share());
}

TEST_P(BesideQemu, VmmMayOpenOnlyIfBothRead) {
  const Qemu qemu(path_, qemu_reads());
  ASSERT_TRUE(qemu.has_image());
  EXPECT_EQ(Vmm(vmm_reads()).has_value(), may_share());
}

INSTANTIATE_TEST_SUITE_P(ImageLockTest, BesideQemu,
                         testing::Combine(testing::Bool(), testing::Bool()), [](const auto& pair) {
                           return absl::StrCat(std::get<0>(pair.param) ? "Reader" : "Writer",
                                               "BesideQemu",
                                               std::get<1>(pair.param) ? "Reader" : "Writer");
                         });

}  // namespace
}  // namespace virtio
