#include "boot/kernel_image.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "boot/kernel_formats.h"

namespace boot {
namespace {

constexpr size_t kHeadBytes = 4096;

bool HasMagic(std::span<const uint8_t> head, size_t offset, absl::string_view magic) {
  return offset + magic.size() <= head.size() &&
         std::memcmp(head.data() + offset, magic.data(), magic.size()) == 0;
}

// A magic number of a file that is no kernel we can load, and the text that describes the file.
struct KnownFormat {
  size_t offset;
  absl::string_view magic;
  absl::string_view text;
};

// A string_view of a literal that may contain NUL bytes.
template <size_t kSize>
constexpr absl::string_view Magic(const char (&literal)[kSize]) {
  return absl::string_view(literal, kSize - 1);
}

// Kernels of other architectures: flat images that have a magic number.
constexpr KnownFormat kForeignImages[] = {
    {0x38, Magic("ARM\x64"), "is an aarch64 kernel (Image)"},
    {0x38, Magic("RSC\x05"), "is a RISC-V kernel (Image)"},
    {0x24, Magic("\x18\x28\x6f\x01"), "is a 32-bit ARM kernel (zImage)"},
    {0x04, Magic("zimg"), "is a kernel for another architecture (compressed EFI image)"},
};

constexpr KnownFormat kCompressed[] = {
    {0, Magic("\x1f\x8b"), "gzip; decompress it first, with gunzip"},
    {0,
     Magic("\xfd"
           "7zXZ\0"),
     "xz; decompress it first, with unxz"},
    {0, Magic("\x28\xb5\x2f\xfd"), "zstd; decompress it first, with unzstd"},
    {0, Magic("\x04\x22\x4d\x18"), "lz4; decompress it first, with unlz4"},
    {0, Magic("\x02\x21\x4c\x18"), "lz4; decompress it first, with unlz4"},
    {0, Magic("BZh"), "bzip2; decompress it first, with bunzip2"},
    {0, Magic("\x5d\0\0"), "lzma; decompress it first, with unlzma"},
    {0, Magic("\x89LZO"), "lzop; decompress it first, with lzop -d"},
};

constexpr KnownFormat kOthers[] = {
    {0, Magic("MZ"), "an EFI program without a Linux boot header"},
    {0, Magic("QFI\xfb"), "a qcow2 disk image"},
    {0, Magic("070701"), "a cpio archive, perhaps the initramfs"},
    {0, Magic("!<arch>\n"), "an ar or .deb archive"},
    {0, Magic("\x27\x05\x19\x56"), "a U-Boot image"},
    {0x1FE, Magic("\x55\xaa"), "a disk image or boot sector"},
};

const KnownFormat* Find(std::span<const KnownFormat> formats, std::span<const uint8_t> head) {
  for (const KnownFormat& format : formats) {
    if (HasMagic(head, format.offset, format.magic)) return &format;
  }
  return nullptr;
}

bool IsText(std::span<const uint8_t> head) {
  return std::all_of(head.begin(), head.end(), [](uint8_t c) {
    return c == '\n' || c == '\r' || c == '\t' || (c >= 0x20 && c < 0x7f) || c >= 0x80;
  });
}

absl::string_view DescribeOther(std::span<const uint8_t> head) {
  if (const KnownFormat* other = Find(kOthers, head)) return other->text;
  const auto zero = [](uint8_t byte) { return byte == 0; };
  if (std::all_of(head.begin(), head.end(), zero)) return "only zeros at its start";
  if (IsText(head)) return head[0] == '{' || head[0] == '[' ? "JSON text" : "text";
  return "unknown data";
}

absl::Status NotAKernelError(const KernelFile& file) {
  if (const KnownFormat* foreign = Find(kForeignImages, file.head)) {
    return KernelError(
        file, absl::StrCat(foreign->text, ", this machine is x86_64; give ", kWantedKernel));
  }
  if (const KnownFormat* compressed = Find(kCompressed, file.head)) {
    return KernelError(file, absl::StrCat("is compressed with ", compressed->text));
  }
  return KernelError(file, absl::StrCat("is not a kernel but ", DescribeOther(file.head), "; give ",
                                        kWantedKernel));
}

}  // namespace

std::string FormatSize(uint64_t bytes) {
  constexpr uint64_t kKiB = 1024;
  if (bytes != 0 && bytes % (kKiB * kKiB) == 0) return absl::StrCat(bytes / (kKiB * kKiB), " MiB");
  if (bytes != 0 && bytes % kKiB == 0) return absl::StrCat(bytes / kKiB, " KiB");
  return absl::StrCat(bytes, " bytes");
}

absl::Status KernelError(const KernelFile& file, absl::string_view text) {
  return absl::InvalidArgumentError(absl::StrCat(file.name, ": ", text));
}

absl::Status TruncatedError(const KernelFile& file, absl::string_view part, uint64_t needed) {
  return KernelError(file, absl::StrFormat("is cut off after %d bytes: %d are needed for %s; copy "
                                           "the file again",
                                           file.bytes.size(), needed, part));
}

absl::Status TooLargeError(const KernelFile& file, uint64_t needed_end) {
  constexpr uint64_t kMiB = 1 << 20;
  const uint64_t needed_mib = needed_end / kMiB + (needed_end % kMiB != 0 ? 1 : 0);
  return KernelError(
      file, absl::StrFormat("is too large for the guest's RAM: it needs %d MiB below 4 GiB, "
                            "there are %d MiB; raise memory.size",
                            needed_mib, file.window.end() / kMiB));
}

absl::StatusOr<LoadPlan> PlanKernelLoad(const ByteSource& file, absl::string_view name,
                                        MemoryRange window) {
  std::array<uint8_t, kHeadBytes> buffer;
  const size_t head_bytes = static_cast<size_t>(std::min<uint64_t>(file.size(), kHeadBytes));
  const std::span<uint8_t> head = std::span(buffer).first(head_bytes);
  const KernelFile kernel{file, name, window, head};
  if (window.Wraps()) return KernelError(kernel, "the guest's RAM window wraps around");
  if (head.empty()) {
    return KernelError(kernel, absl::StrCat("is empty; give ", kWantedKernel));
  }
  if (!file.ReadAt(0, head)) {
    return KernelError(kernel, "cannot be read; check that it is a regular file on a sound disk");
  }
  if (HasMagic(head, 0,
               "\x7f"
               "ELF"))
    return PlanElf(kernel);
  if (HasMagic(head, 0x202, "HdrS")) return PlanBzImage(kernel);
  return NotAKernelError(kernel);
}

}  // namespace boot
