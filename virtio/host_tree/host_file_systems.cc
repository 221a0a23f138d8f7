#include "virtio/host_tree/host_file_systems.h"

#include <algorithm>
#include <iterator>

namespace virtio {
namespace {

// Numbers that linux/magic.h does not have are from the sources of the file systems.
constexpr FileSystemKind kKinds[] = {
    {0xef53, FileNumbers::kReused},                                        // ext2, ext3, ext4
    {0x58465342, FileNumbers::kReused},                                    // xfs
    {0x9123683e, FileNumbers::kReused, EntryNumbers::kDirectoriesDiffer},  // btrfs
    {0x01021994, FileNumbers::kReused},                                    // tmpfs
    {0x858458f6, FileNumbers::kReused},                                    // ramfs
    {0xf2f52010, FileNumbers::kReused},                                    // f2fs
    {0xca451a4e, FileNumbers::kReused},                                    // bcachefs
    {0x3153464a, FileNumbers::kReused},                                    // jfs
    {0x3434, FileNumbers::kReused},                                        // nilfs2
    {0x52654973, FileNumbers::kReused},                                    // reiserfs
    {0x7366746e, FileNumbers::kReused},                                    // ntfs3
    {0x01161970, FileNumbers::kReused},                                    // gfs2
    {0x7461636f, FileNumbers::kReused},                                    // ocfs2
    {0x2fc12fc1, FileNumbers::kReused},                                    // zfs
    {0x00c36400},                                                          // ceph
    {0x794c7630, FileNumbers::kOwn, EntryNumbers::kDiffer},                // overlay
    {0xe0f5e1e2},                                                          // erofs
    {0x73717368},                                                          // squashfs
    {0x9660},                                                              // iso9660
    {0x15013346, FileNumbers::kReused},                                    // udf
    {0x28cd3d45},                                                          // cramfs
    {0x4d44, FileNumbers::kPinned},                                        // vfat, msdos
    {0x2011bab0, FileNumbers::kPinned},                                    // exfat
    {0x65735546, FileNumbers::kPinned},                                    // fuse, virtiofs
    {0x6969, FileNumbers::kReused, EntryNumbers::kSame, true},             // nfs
    {0xff534d42, FileNumbers::kOwn, EntryNumbers::kSame, true},            // cifs
    {0xfe534d42, FileNumbers::kOwn, EntryNumbers::kSame, true},            // smb2, smb3
    {0x01021997, FileNumbers::kOwn, EntryNumbers::kSame, true},            // 9p
    {0x5346414f, FileNumbers::kOwn, EntryNumbers::kSame, true},            // afs
};

constexpr int kInodeBits = 48;
constexpr size_t kMaxDevices = size_t{1} << (63 - kInodeBits);
constexpr uint64_t kHashed = uint64_t{1} << 63;

// Spreads every bit over all bits, and gives different results for different inputs. It is the
// finalizer of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators,
// 2014).
uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace

const FileSystemKind* FindFileSystemKind(uint64_t magic) {
  const auto* const kind = std::ranges::find(kKinds, magic, &FileSystemKind::magic);
  return kind != std::end(kKinds) ? kind : nullptr;
}

uint64_t InodeNumbers::ToGuest(uint32_t device, uint64_t inode) {
  auto index = indices_.find(device);
  if (index == indices_.end() && indices_.size() < kMaxDevices) {
    index = indices_.emplace(device, static_cast<uint16_t>(indices_.size())).first;
  }
  if (index != indices_.end() && inode >> kInodeBits == 0) {
    return uint64_t{index->second} << kInodeBits | inode;
  }
  // The hash does not depend on `index`, so the number is the same after the next start.
  return kHashed | Mix(inode ^ Mix(uint64_t{device} + 1));
}

}  // namespace virtio
