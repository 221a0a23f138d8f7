// Tests file systems that are mounted below the root of a tree: which of them are entered, and what
// identifies their files.

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/btrfs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "virtio/host_tree/host_file_systems.h"
#include "virtio/host_tree/testing/forgetful_fuse_fixtures.h"
#include "virtio/host_tree/testing/host_changes_fixtures.h"
#include "virtio/host_tree/testing/mount_fixtures.h"

namespace virtio {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class HostMountsTest : public HostChangesTest {
 protected:
  void SetUp() override {
    HostChangesTest::SetUp();
    if (!mounts_.can_mount()) GTEST_SKIP() << "no right to mount";
  }
  void TearDown() override { tree_.reset(); }

  void OpenAcross(uint32_t max_directories = 8) {
    HostTree::Options options;
    options.name = "fs[0]";
    options.path = host_.Path("root");
    options.writable = true;
    options.submounts = true;
    options.max_directories = max_directories;
    OpenWith(std::move(options));
  }
  // Mounts a tmpfs at `name` below the root, with a file x in it.
  void MountTmpfs(absl::string_view name) {
    host_.Directory(absl::StrCat("root/", name));
    ASSERT_EQ(mounts_.Add(host_.Path(absl::StrCat("root/", name)), "tmpfs"), 0);
    host_.Write(absl::StrCat("root/", name, "/x"), name);
  }
  void Bind(absl::string_view from, absl::string_view to, bool readonly = false) {
    host_.Directory(absl::StrCat("root/", to));
    ASSERT_EQ(mounts_.Bind(host_.Path(absl::StrCat("root/", from)),
                           host_.Path(absl::StrCat("root/", to)), readonly),
              0);
  }
  // Mounts an image, which the command `make` fills, as the root. Returns false if this host cannot
  // do that.
  bool MountImage(const char* make, const char* type) {
    const std::string image = host_.Path("image");
    const base::UniqueFd fd(open(image.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    EXPECT_EQ(ftruncate(fd.get(), off_t{256} << 20), 0);
    // The loop device ends with the mount.
    const std::string commands =
        absl::StrCat("exec >", host_.Path("log"), " 2>&1; PATH=$PATH:/sbin:/usr/sbin; ", make, " ",
                     image, " && mount -o loop -t ", type, " ", image, " ", host_.Path("root"));
    if (std::system(commands.c_str()) != 0) return false;
    mounts_.Took(host_.Path("root"));
    return true;
  }
  // Makes the host forget all files that nobody holds. Their contents are dropped, too, because
  // contents hold the file.
  static void DropCaches() {
    sync();
    const base::UniqueFd fd(open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(write(fd.get(), "3", 1), 1);
  }
  // Drops caches until a file that had the number `was` has another number. Repeats that, because
  // the host drops only what it wants to drop, and drops files and names that were used a moment
  // ago only at the second try.
  bool IsForgotten(const char* name, uint64_t was) {
    for (int tries = 0; tries < 25; ++tries) {
      for (int i = 0; i < 4; ++i) DropCaches();
      if (host_.Inode(name) != was) return true;
    }
    return false;
  }
  std::map<std::string, uint64_t> Numbers(NodeId directory) {
    std::map<std::string, uint64_t> numbers;
    EXPECT_EQ(tree_->ReadDirectory(directory, 0,
                                   [&numbers](const DirectoryEntry& entry) {
                                     numbers[std::string(entry.name)] = entry.inode;
                                     return true;
                                   }),
              0);
    return numbers;
  }
  // Expects that the guest sees the same number of a file however it asks, and returns the number.
  uint64_t Number(NodeId directory, const std::string& name) {
    FoundNode found;
    EXPECT_EQ(tree_->Lookup(directory, name, found), 0) << name;
    EXPECT_EQ(Attributes(found.id).inode, found.attributes.inode) << name;
    EXPECT_EQ(Numbers(directory)[name], found.attributes.inode) << name;
    if (S_ISDIR(found.attributes.mode)) {
      EXPECT_EQ(Numbers(found.id)["."], found.attributes.inode) << name;
      EXPECT_EQ(Numbers(found.id)[".."], Attributes(directory).inode) << name;
    }
    return found.attributes.inode;
  }

  HostMounts mounts_;
};

// --- Entering mounts -----------------------------------------------------------------------------

TEST_F(HostMountsTest, MountsAreNotEnteredByDefault) {
  MountTmpfs("tmpfs");
  host_.Directory("root/dir");
  Bind("dir", "bound");
  for (const bool writable : {false, true}) {
    Open(writable);
    EXPECT_EQ(LookupError(kRootNode, "tmpfs"), EXDEV);
    EXPECT_EQ(LookupError(kRootNode, "bound"), EXDEV);
    EXPECT_EQ(LookupError(kRootNode, "dir"), 0);
    EXPECT_THAT(List(kRootNode), testing::Contains("tmpfs"));
  }
}

TEST_F(HostMountsTest, AnOpenDirectoryIsNoWayIntoALaterMount) {
  host_.Write("root/dir/x", "below");
  Open(true, 2);
  const NodeId x = Get({"dir", "x"});
  MountTmpfs("dir");
  // The open directory stays usable. Once it is closed, its name leads to the mount.
  EXPECT_EQ(HostTreeTest::Content(x), "below");
  MakeDirectory(MakeDirectory(MakeDirectory(kRootNode, "a").id, "b").id, "c");
  EXPECT_THAT(HostTreeTest::Content(x), StartsWith("error "));
}

TEST_F(HostMountsTest, ProcfsIsNeverEntered) {
  static volatile uint64_t secret = 0x5ec2e7;
  host_.Directory("root/proc");
  host_.Write("root/file", "x");
  ASSERT_EQ(mounts_.Bind("/proc", host_.Path("root/proc")), 0);
  MountTmpfs("tmpfs");
  host_.Directory("root/tmpfs/proc");
  ASSERT_EQ(mounts_.Bind("/proc/self", host_.Path("root/tmpfs/proc")), 0);
  OpenAcross();
  const NodeId known = Get({"file"});
  NodeId id;
  EXPECT_EQ(Walk({"proc"}, id), EXDEV);
  EXPECT_EQ(Walk({"proc", "self"}, id), EXDEV);
  EXPECT_EQ(Walk({"tmpfs", "proc"}, id), EXDEV);
  // Mounts a file of procfs in the place of a file that the guest knows.
  ASSERT_EQ(mounts_.Bind("/proc/self/mem", host_.Path("root/file")), 0);
  std::unique_ptr<HostFile> file;
  EXPECT_EQ(tree_->OpenFile(known, O_RDWR, file), EXDEV);
  EXPECT_EQ(LookupError(kRootNode, "file"), EXDEV);
  FoundNode found;
  EXPECT_EQ(tree_->Create(kRootNode, "file", kRoot, 0644, O_RDWR, found, file), EXDEV);
  EXPECT_EQ(tree_->Create(kRootNode, "file", kRoot, 0644, O_RDWR | O_TRUNC, found, file), EXDEV);
  EXPECT_EQ(secret, 0x5ec2e7U);
}

TEST_F(HostMountsTest, AMountThatReplacesAnEnteredMountIsCheckedAgain) {
  MountTmpfs("dir");
  OpenAcross();
  EXPECT_EQ(HostTreeTest::Content(Get({"dir", "x"})), "dir");
  tree_->ForgetAll();
  mounts_.Remove();
  // The new mount often gets the numbers of mount and device that the last one had.
  ASSERT_EQ(mounts_.Add(host_.Path("root/dir"), "proc", "none"), 0);
  EXPECT_EQ(LookupError(kRootNode, "dir"), EXDEV);
}

TEST_F(HostMountsTest, AShareOfProcfsIsRefusedAtStart) {
  for (const char* path : {"/proc", "/proc/self", "/sys"}) {
    for (const bool submounts : {false, true}) {
      HostTree::Options options;
      options.name = "fs[0]";
      options.path = path;
      options.submounts = submounts;
      const absl::Status status = HostTree::Open(options).status();
      EXPECT_THAT(std::string(status.message()),
                  StartsWith(absl::StrCat("fs[0].path: ", path, ": files of this kind")));
      EXPECT_THAT(std::string(status.message()), HasSubstr("name a directory on a disk"));
    }
  }
}

// --- Identity of files ---------------------------------------------------------------------------

TEST_F(HostMountsTest, FilesOfTwoFileSystemsHaveDifferentNumbers) {
  MountTmpfs("a");
  MountTmpfs("b");
  ASSERT_EQ(host_.Inode("root/a/x"), host_.Inode("root/b/x"));
  host_.Write("root/file", "");
  OpenAcross();
  const NodeId a = Get({"a"});
  const NodeId b = Get({"b"});
  std::set<uint64_t> numbers = {Number(kRootNode, "a"), Number(kRootNode, "b"), Number(a, "x"),
                                Number(b, "x"), Attributes(kRootNode).inode};
  EXPECT_EQ(numbers.size(), 5U);
  EXPECT_EQ(Number(kRootNode, "file"), host_.Inode("root/file"));
}

TEST_F(HostMountsTest, ABindMountIsADirectoryOfItsOwn) {
  host_.Directory("root/a/d");
  Bind("a", "b");
  OpenAcross();
  const NodeId a = Get({"a", "d"});
  const NodeId b = Get({"b", "d"});
  EXPECT_NE(a, b);
  // The second look has not moved the first directory.
  NodeId place;
  std::string name;
  EXPECT_EQ(tree_->FindPlace(a, place, name), 0);
  EXPECT_EQ(place, Get({"a"}));
  // cp and mv see one directory by its number. A 9p client sees two, by the mount.
  EXPECT_EQ(Attributes(a).inode, Attributes(b).inode);
  EXPECT_EQ(Attributes(a).mount, 0U);
  EXPECT_NE(Attributes(b).mount, 0U);
  // A rename from one mount to the other fails, as on the host.
  EXPECT_EQ(tree_->Rename(Get({"a"}), "d", Get({"b"}), "e", 0), EXDEV);
}

TEST_F(HostMountsTest, AReadOnlyBindMountIsNotWrittenThrough) {
  host_.Write("root/rw/d/f", "x");
  Bind("rw", "ro", /*readonly=*/true);
  OpenAcross();
  const NodeId writable = Get({"rw", "d"});
  const NodeId readonly = Get({"ro", "d"});
  FoundNode found;
  std::unique_ptr<HostFile> file;
  EXPECT_EQ(tree_->Create(readonly, "new", kRoot, 0644, O_WRONLY, found, file), EROFS);
  EXPECT_EQ(tree_->OpenFile(Find(readonly, "f"), O_WRONLY, file), EROFS);
  EXPECT_EQ(Set(Find(readonly, "f"), {.mode = 0600}), EROFS);
  EXPECT_EQ(Set(Find(readonly, "f"), {.size_bytes = 0}), EROFS);
  EXPECT_EQ(tree_->Unlink(readonly, "f"), EROFS);
  // The name in the other mount is still writable.
  EXPECT_EQ(tree_->OpenFile(Find(writable, "f"), O_WRONLY, file), 0);
}

TEST_F(HostMountsTest, StatFsDescribesTheFileSystemOfTheNode) {
  host_.Directory("root/small");
  ASSERT_EQ(mounts_.Add(host_.Path("root/small"), "tmpfs", "none", 0, "size=64k"), 0);
  host_.Write("root/small/dir/x", "x");
  OpenAcross();
  struct statfs file_system;
  for (const NodeId id : {Get({"small"}), Get({"small", "dir"}), Get({"small", "dir", "x"})}) {
    ASSERT_EQ(tree_->GetFileSystem(id, file_system), 0);
    EXPECT_EQ(file_system.f_blocks * static_cast<uint64_t>(file_system.f_bsize), 65536U);
  }
  ASSERT_EQ(tree_->GetFileSystem(kRootNode, file_system), 0);
  EXPECT_NE(file_system.f_blocks * static_cast<uint64_t>(file_system.f_bsize), 65536U);
  EXPECT_EQ(tree_->GetFileSystem(NodeId{99}, file_system), ESTALE);
}

TEST_F(HostMountsTest, SubvolumesOfBtrfsAreVisibleAndHaveNumbersOfTheirOwn) {
  if (!MountImage("mkfs.btrfs -q", "btrfs")) GTEST_SKIP() << "no btrfs: see " << host_.Path("log");
  const base::UniqueFd root(open(host_.Path("root").c_str(), O_RDONLY | O_CLOEXEC));
  btrfs_ioctl_vol_args volume = {};
  std::strcpy(volume.name, "one");
  ASSERT_EQ(ioctl(root.get(), BTRFS_IOC_SUBVOL_CREATE, &volume), 0);
  host_.Write("root/one/x", "one");
  const base::UniqueFd one(open(host_.Path("root/one").c_str(), O_RDONLY | O_CLOEXEC));
  btrfs_ioctl_vol_args_v2 snapshot = {};
  snapshot.fd = one.get();
  std::strcpy(snapshot.name, "two");
  ASSERT_EQ(ioctl(root.get(), BTRFS_IOC_SNAP_CREATE_V2, &snapshot), 0);
  host_.Write("root/two/x", "two");
  ASSERT_EQ(host_.Inode("root/one/x"), host_.Inode("root/two/x"));
  Open();  // without submounts: subvolumes are no mounts
  const NodeId a = Get({"one"});
  const NodeId b = Get({"two"});
  std::set<uint64_t> numbers = {Number(kRootNode, "one"), Number(kRootNode, "two"), Number(a, "x"),
                                Number(b, "x"), Attributes(kRootNode).inode};
  EXPECT_EQ(numbers.size(), 5U);
  EXPECT_EQ(HostTreeTest::Content(Find(b, "x")), "two");
  MakeFile(b, "new");
}

// --- Seeing a file again -------------------------------------------------------------------------

TEST_F(HostMountsTest, WithoutTimesOfBirthTheFileHandleIdentifiesAFile) {
  if (!MountImage("mkfs.ext4 -q -I 128", "ext4")) GTEST_SKIP() << "no ext4";
  host_.Write("root/dir/file", "old");
  Open(true, 2);
  const NodeId old = Get({"dir", "file"});
  const uint64_t inode = host_.Inode("root/dir/file");
  ASSERT_EQ(unlink(host_.Path("root/dir/file").c_str()), 0);
  host_.Write("root/dir/file", "new");
  ASSERT_EQ(host_.Inode("root/dir/file"), inode) << "the number was not used again";
  FileAttributes attributes;
  EXPECT_EQ(tree_->GetAttributes(old, attributes), ESTALE);
  EXPECT_EQ(HostTreeTest::Content(old), absl::StrCat("error ", ESTALE));
  EXPECT_NE(Get({"dir", "file"}), old);
  EXPECT_EQ(HostTreeTest::Content(Get({"dir", "file"})), "new");
}

// vfat gives a file a new number when its inode comes into memory.
TEST_F(HostMountsTest, FilesWithoutStableNumbersAreHeldWithinTheBudget) {
  if (!MountImage("mkfs.vfat", "vfat")) GTEST_SKIP() << "no vfat";
  for (int i = 0; i < 13; ++i) host_.Write(absl::StrCat("root/f", i), absl::StrCat("file ", i));
  DropCaches();
  Open(true, 8);
  const NodeId first = Get({"f0"});
  const uint64_t number = Attributes(first).inode;
  ASSERT_TRUE(IsForgotten("root/f12", host_.Inode("root/f12")));  // nobody holds f12
  EXPECT_EQ(Attributes(first).inode, number);
  EXPECT_EQ(HostTreeTest::Content(first), "file 0");
  EXPECT_EQ(Get({"f0"}), first);
  // The oldest file is beyond the budget. Its name leads to another node once the host has
  // forgotten the file.
  for (int i = 1; i < 12; ++i) Get({absl::StrCat("f", i)});
  EXPECT_EQ(tree_->open_directories(), 8U);
  ASSERT_TRUE(IsForgotten("root/f0", number));
  FileAttributes attributes;
  EXPECT_EQ(tree_->GetAttributes(first, attributes), ESTALE);
  EXPECT_EQ(HostTreeTest::Content(first), absl::StrCat("error ", ESTALE));
  EXPECT_EQ(HostTreeTest::Content(Get({"f0"})), "file 0");
  EXPECT_EQ(tree_->Unlink(kRootNode, "f0"), 0);
  EXPECT_FALSE(OnHost("f0"));
}

// Most FUSE servers also give a file a new number when the kernel has forgotten it.
TEST_F(HostMountsTest, FilesOnFuseAreHeldWithinTheBudget) {
  host_.Directory("root");
  ForgetfulFuse fuse(14);
  if (!fuse.is_there()) GTEST_SKIP() << "no /dev/fuse";
  ASSERT_EQ(mounts_.Add(host_.Path("root"), "fuse", "none", 0, fuse.options().c_str()), 0);
  fuse.Start();
  Open(true, 8);
  const NodeId first = Get({"f0"});
  const uint64_t number = Attributes(first).inode;
  host_.Inode("root/f12");
  fuse.Invalidate(0);
  fuse.Invalidate(12);
  ASSERT_TRUE(fuse.WaitForgotten(12));  // nobody holds f12
  EXPECT_EQ(host_.Inode("root/f0"), number);
  EXPECT_EQ(Attributes(first).inode, number);
  EXPECT_EQ(HostTreeTest::Content(first), "file 0");
  EXPECT_EQ(Get({"f0"}), first);
  // The oldest file is beyond the budget. Its name leads to another node once the host has
  // forgotten the file. The newest file is still held.
  for (int i = 1; i < 12; ++i) Get({absl::StrCat("f", i)});
  EXPECT_EQ(tree_->open_directories(), 8U);
  const NodeId last = Get({"f11"});
  fuse.Invalidate(11);
  fuse.Invalidate(0);
  ASSERT_TRUE(fuse.WaitForgotten(0));
  FileAttributes attributes;
  EXPECT_EQ(tree_->GetAttributes(first, attributes), ESTALE);
  EXPECT_EQ(HostTreeTest::Content(first), absl::StrCat("error ", ESTALE));
  EXPECT_EQ(HostTreeTest::Content(last), "file 11");
  // The name still leads to a file.
  const NodeId again = Get({"f0"});
  EXPECT_NE(again, first);
  EXPECT_EQ(HostTreeTest::Content(again), "file 0");
  tree_.reset();
  mounts_.RemoveAll();
}

// A folder on NFS. The environment names it; integration tests set that.
class HostNfsTest : public HostTreeTest {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("VMM_TEST_NFS");
    if (folder == nullptr) GTEST_SKIP() << "VMM_TEST_NFS is not set";
    struct statfs file_system;
    ASSERT_EQ(statfs(folder, &file_system), 0);
    ASSERT_EQ(static_cast<uint64_t>(file_system.f_type), uint64_t{NFS_SUPER_MAGIC});
    nfs_.emplace(folder);
    HostTree::Options options;
    options.name = "fs[0]";
    options.path = nfs_->path();
    options.writable = true;
    options.max_directories = 4;
    OpenWith(std::move(options));
  }
  void TearDown() override { tree_.reset(); }
  NodeId Make(absl::string_view name) {
    FoundNode found;
    std::unique_ptr<HostFile> file;
    EXPECT_EQ(tree_->Create(kRootNode, name, kRoot, 0644, O_RDWR, found, file), 0) << name;
    EXPECT_EQ(pwrite(file->fd(), name.data(), name.size(), 0), static_cast<ssize_t>(name.size()));
    return found.id;
  }

  std::optional<TemporaryTree> nfs_;
};

TEST_F(HostNfsTest, AFileThatIsNotOpenLeavesNoHiddenName) {
  Make("file");
  Make("replaced");
  const NodeId linked = Make("linked");
  FoundNode found;
  ASSERT_EQ(tree_->Link(linked, kRootNode, "other", found), 0);
  Make("new");
  EXPECT_EQ(tree_->Unlink(kRootNode, "file"), 0);
  EXPECT_EQ(tree_->Rename(kRootNode, "new", kRootNode, "replaced", 0), 0);
  EXPECT_EQ(tree_->Unlink(kRootNode, "other"), 0);
  EXPECT_THAT(List(kRootNode), testing::UnorderedElementsAre(".", "..", "replaced", "linked"));
  EXPECT_EQ(Content(Get({"replaced"})), "new");
  EXPECT_EQ(Content(Get({"linked"})), "linked");
}

TEST_F(HostNfsTest, AnOpenFileOutlivesItsName) {
  FoundNode found;
  std::unique_ptr<HostFile> file;
  ASSERT_EQ(tree_->Create(kRootNode, "file", kRoot, 0644, O_RDWR, found, file), 0);
  EXPECT_EQ(tree_->Unlink(kRootNode, "file"), 0);
  EXPECT_EQ(pwrite(file->fd(), "kept", 4, 0), 4);
  FileAttributes attributes;
  EXPECT_EQ(tree_->GetAttributes(found.id, attributes), 0);
  EXPECT_EQ(Content(found.id), "kept");
  file.reset();
  tree_->ForgetAll();
  EXPECT_THAT(List(kRootNode), testing::UnorderedElementsAre(".", ".."));
}

TEST_F(HostNfsTest, ANewFileWithTheNumberOfARemovedFileIsAnotherNode) {
  const NodeId old = Make("file");
  const std::string path = nfs_->Path("file");
  // Replaces the file on the server, which uses the number again.
  const char* server = std::getenv("VMM_TEST_NFS_SERVER");
  ASSERT_NE(server, nullptr);
  const std::string on_server =
      absl::StrCat(server, "/", nfs_->path().substr(nfs_->path().rfind('/') + 1), "/file");
  struct stat before;
  struct stat after;
  ASSERT_EQ(stat(on_server.c_str(), &before), 0);
  ASSERT_EQ(unlink(on_server.c_str()), 0);
  // The server holds the old file for some seconds.
  for (int tries = 0; tries < 200; ++tries) {
    const base::UniqueFd made(open(on_server.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    ASSERT_EQ(fstat(made.get(), &after), 0);
    if (after.st_ino == before.st_ino) break;
    ASSERT_EQ(unlink(on_server.c_str()), 0);
    usleep(100'000);
  }
  ASSERT_EQ(before.st_ino, after.st_ino) << "the number was not used again";
  // Waits until the client asks the server.
  NodeId now = old;
  for (int tries = 0; tries < 100 && now == old; ++tries) {
    usleep(100'000);
    FoundNode found;
    if (tree_->Lookup(kRootNode, "file", found) == 0) now = found.id;
  }
  EXPECT_NE(now, old);
  FileAttributes attributes;
  EXPECT_EQ(tree_->GetAttributes(old, attributes), ESTALE);
}

TEST_F(HostNfsTest, TheGuestHasToTakeSetIdBitsOff) { EXPECT_FALSE(tree_->takes_set_ids()); }

// --- Numbers -------------------------------------------------------------------------------------

TEST(InodeNumbersTest, AreTheHostsOnTheDeviceOfTheRootAndNeverCollide) {
  InodeNumbers numbers(7);
  EXPECT_EQ(numbers.ToGuest(7, 12), 12U);
  std::set<uint64_t> seen = {12};
  for (const uint32_t device : {7U, 8U, 9U, 0x7fffffffU}) {
    for (const uint64_t inode :
         {uint64_t{1}, uint64_t{256}, (uint64_t{1} << 48) - 1, uint64_t{1} << 48,
          uint64_t{1} << 48 | 1, uint64_t{1} << 49 | 1, UINT64_MAX}) {
      EXPECT_TRUE(seen.insert(numbers.ToGuest(device, inode)).second) << device << " " << inode;
      EXPECT_EQ(numbers.ToGuest(device, inode), numbers.ToGuest(device, inode));
    }
  }
}

TEST(InodeNumbersTest, StayUniqueWithMoreDevicesThanIndices) {
  InodeNumbers numbers(0);
  std::set<uint64_t> seen;
  for (uint32_t device = 0; device < 40000; ++device) {
    EXPECT_TRUE(seen.insert(numbers.ToGuest(device, 256)).second) << device;
  }
  EXPECT_EQ(numbers.ToGuest(1, 256), uint64_t{1} << 48 | 256);
}

// The numbers of UDF are places on the disk, and ZFS gives numbers of removed files to new files.
TEST(FileSystemKindTest, AReusedNumberDoesNotIdentifyAFile) {
  constexpr int kZfs = 0x2fc12fc1;
  for (const int magic : {EXT4_SUPER_MAGIC, UDF_SUPER_MAGIC, kZfs}) {
    const FileSystemKind* kind = FindFileSystemKind(static_cast<uint64_t>(magic));
    ASSERT_NE(kind, nullptr) << magic;
    EXPECT_EQ(kind->numbers, FileNumbers::kReused) << magic;
  }
}

TEST(FileSystemKindTest, KnowsFileSystemsOnDisksButNotThoseOfTheKernel) {
  for (const uint64_t magic : {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, TMPFS_MAGIC, NFS_SUPER_MAGIC}) {
    EXPECT_NE(FindFileSystemKind(magic), nullptr) << magic;
  }
  EXPECT_NE(FindFileSystemKind(BTRFS_SUPER_MAGIC), nullptr);
  EXPECT_NE(FindFileSystemKind(OVERLAYFS_SUPER_MAGIC), nullptr);
  for (const uint64_t magic :
       {uint64_t{PROC_SUPER_MAGIC}, uint64_t{SYSFS_MAGIC}, uint64_t{CGROUP2_SUPER_MAGIC},
        uint64_t{DEBUGFS_MAGIC}, uint64_t{DEVPTS_SUPER_MAGIC}, uint64_t{AUTOFS_SUPER_MAGIC}}) {
    EXPECT_EQ(FindFileSystemKind(magic), nullptr) << magic;
  }
}

}  // namespace
}  // namespace virtio
