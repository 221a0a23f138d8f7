#include "boot/acpi/aml.h"

#include <algorithm>

#include "boot/wire.h"

namespace boot {
namespace {

// Op codes [ACPI 6.5 §20.3].
constexpr uint8_t kZeroOp = 0x00;
constexpr uint8_t kOneOp = 0x01;
constexpr uint8_t kNameOp = 0x08;
constexpr uint8_t kBytePrefix = 0x0A;
constexpr uint8_t kWordPrefix = 0x0B;
constexpr uint8_t kDwordPrefix = 0x0C;
constexpr uint8_t kStringPrefix = 0x0D;
constexpr uint8_t kQwordPrefix = 0x0E;
constexpr uint8_t kScopeOp = 0x10;
constexpr uint8_t kBufferOp = 0x11;
constexpr uint8_t kPackageOp = 0x12;
constexpr uint8_t kMethodOp = 0x14;
constexpr uint8_t kDualNamePrefix = 0x2E;
constexpr uint8_t kMultiNamePrefix = 0x2F;
constexpr uint8_t kExtPrefix = 0x5B;
constexpr uint8_t kLocal0Op = 0x60;
constexpr uint8_t kArg0Op = 0x68;
constexpr uint8_t kStoreOp = 0x70;
constexpr uint8_t kAndOp = 0x7B;
constexpr uint8_t kOrOp = 0x7D;
constexpr uint8_t kRegionOp = 0x80;  // kRegionOp and the next two follow kExtPrefix
constexpr uint8_t kFieldOp = 0x81;
constexpr uint8_t kDeviceOp = 0x82;
constexpr uint8_t kNotifyOp = 0x86;
constexpr uint8_t kCreateDwordFieldOp = 0x8A;
constexpr uint8_t kNotOp = 0x92;
constexpr uint8_t kEqualOp = 0x93;
constexpr uint8_t kIfOp = 0xA0;
constexpr uint8_t kElseOp = 0xA1;
constexpr uint8_t kReturnOp = 0xA4;

constexpr uint8_t kMethodSerialized = 1 << 3;
constexpr uint8_t kRegionSystemIo = 1;
constexpr uint8_t kFieldByteAccess = 1;

// Resource descriptor tags and flags [ACPI 6.5 §6.4].
constexpr uint8_t kIrqTag = 0x23;
constexpr uint8_t kIoTag = 0x47;
constexpr uint8_t kEndTag = 0x79;
constexpr uint8_t kFixedMemory32Tag = 0x86;
constexpr uint8_t kAddressDwordTag = 0x87;
constexpr uint8_t kAddressWordTag = 0x88;
constexpr uint8_t kInterruptTag = 0x89;
constexpr uint8_t kAddressQwordTag = 0x8A;
constexpr uint8_t kIrqEdge = 1 << 0;
constexpr uint8_t kIoDecode16 = 1 << 0;
constexpr uint8_t kInterruptConsumer = 1 << 0;
constexpr uint8_t kInterruptEdge = 1 << 1;
constexpr uint8_t kReadWrite = 1 << 0;
constexpr uint8_t kWindowFixed = 0x0C;  // minimum and maximum are fixed; producer, positive decode
constexpr uint8_t kWindowMemory = 0;
constexpr uint8_t kWindowBus = 2;

void Append(Aml& out, const Aml& term) { out.insert(out.end(), term.begin(), term.end()); }

// Appends `value` as a PkgLength of `byte_count` bytes. [ACPI 6.5 §20.2.4]
void AppendLengthBytes(Aml& out, size_t value, size_t byte_count) {
  if (byte_count == 1) {
    out.push_back(static_cast<uint8_t>(value));
    return;
  }
  out.push_back(static_cast<uint8_t>((byte_count - 1) << 6 | (value & 0x0F)));
  value >>= 4;
  for (size_t i = 1; i < byte_count; ++i, value >>= 8) out.push_back(static_cast<uint8_t>(value));
}

// Appends the PkgLength of a package whose body has `body_bytes`. The length includes its own
// bytes.
void AppendPackageLength(Aml& out, size_t body_bytes) {
  if (body_bytes + 1 < size_t{1} << 6) return AppendLengthBytes(out, body_bytes + 1, 1);
  if (body_bytes + 2 < size_t{1} << 12) return AppendLengthBytes(out, body_bytes + 2, 2);
  if (body_bytes + 3 < size_t{1} << 20) return AppendLengthBytes(out, body_bytes + 3, 3);
  AppendLengthBytes(out, body_bytes + 4, 4);
}

Aml Packaged(std::initializer_list<uint8_t> op, const Aml& body) {
  Aml out(op);
  out.reserve(op.size() + 4 + body.size());
  AppendPackageLength(out, body.size());
  Append(out, body);
  return out;
}

Aml Operation(uint8_t op, std::initializer_list<Aml> operands) {
  Aml out = {op};
  for (const Aml& operand : operands) Append(out, operand);
  return out;
}

Aml TargetOrNothing(const Aml& target) { return target.empty() ? Aml{kZeroOp} : target; }

void AppendSegment(Aml& out, absl::string_view segment) {
  constexpr size_t kSegmentBytes = 4;
  for (size_t i = 0; i < kSegmentBytes; ++i) {
    out.push_back(static_cast<uint8_t>(i < segment.size() ? segment[i] : '_'));
  }
}

uint8_t HexDigit(char c) {
  if (c >= '0' && c <= '9') return static_cast<uint8_t>(c - '0');
  return static_cast<uint8_t>((c | 0x20) - 'a' + 10);
}

// Returns an address space descriptor with the fields of integer type `T`.
template <typename T>
Aml Window(uint8_t tag, uint8_t kind, uint8_t kind_flags, T first, T last) {
  constexpr uint16_t kLength = 3 + 5 * sizeof(T);
  Aml out = {tag};
  AppendWire(out, kLength);
  out.insert(out.end(), {kind, kWindowFixed, kind_flags});
  AppendWire(out, T{0});  // granularity
  AppendWire(out, first);
  AppendWire(out, last);
  AppendWire(out, T{0});  // translation
  AppendWire(out, static_cast<T>(last - first + 1));
  return out;
}

}  // namespace

Aml AmlConcat(std::initializer_list<Aml> terms) {
  Aml out;
  for (const Aml& term : terms) Append(out, term);
  return out;
}

Aml AmlPath(absl::string_view path) {
  Aml out;
  if (!path.empty() && path.front() == '\\') {
    out.push_back('\\');
    path.remove_prefix(1);
  }
  const size_t segments = 1 + static_cast<size_t>(std::count(path.begin(), path.end(), '.'));
  if (segments == 2) out.push_back(kDualNamePrefix);
  if (segments > 2) out.insert(out.end(), {kMultiNamePrefix, static_cast<uint8_t>(segments)});
  while (true) {
    const size_t dot = path.find('.');
    AppendSegment(out, path.substr(0, dot));
    if (dot == absl::string_view::npos) return out;
    path.remove_prefix(dot + 1);
  }
}

Aml AmlInteger(uint64_t value) {
  if (value == 0) return {kZeroOp};
  if (value == 1) return {kOneOp};
  Aml out;
  if (value <= UINT8_MAX) {
    out = {kBytePrefix, static_cast<uint8_t>(value)};
  } else if (value <= UINT16_MAX) {
    out = {kWordPrefix};
    AppendWire(out, static_cast<uint16_t>(value));
  } else if (value <= UINT32_MAX) {
    out = {kDwordPrefix};
    AppendWire(out, static_cast<uint32_t>(value));
  } else {
    out = {kQwordPrefix};
    AppendWire(out, value);
  }
  return out;
}

Aml AmlString(absl::string_view text) {
  Aml out = {kStringPrefix};
  out.insert(out.end(), text.begin(), text.end());
  out.push_back(0);
  return out;
}

// Packs three letters of 5 bits each and four hexadecimal digits, big-endian. [ACPI 6.5 §19.3.4]
Aml AmlEisaId(absl::string_view id) {
  uint32_t value = 0;
  for (size_t i = 0; i < 3; ++i) value = value << 5 | (static_cast<uint32_t>(id[i]) - 0x40);
  for (size_t i = 3; i < 7; ++i) value = value << 4 | HexDigit(id[i]);
  Aml out = {kDwordPrefix};
  AppendWire(out, base::Be32(value));
  return out;
}

Aml AmlUuid(absl::string_view uuid) {
  // For each byte of the buffer, the offset of its digits in the text. [ACPI 6.5 §19.6.142]
  constexpr uint8_t kOrder[16] = {6, 4, 2, 0, 11, 9, 16, 14, 19, 21, 24, 26, 28, 30, 32, 34};
  Aml bytes;
  for (const uint8_t at : kOrder) {
    bytes.push_back(static_cast<uint8_t>(HexDigit(uuid[at]) << 4 | HexDigit(uuid[at + 1u])));
  }
  return AmlBuffer(bytes);
}

Aml AmlBuffer(const Aml& bytes) {
  return Packaged({kBufferOp}, AmlConcat({AmlInteger(bytes.size()), bytes}));
}

Aml AmlPackage(std::initializer_list<Aml> elements) {
  Aml body = {static_cast<uint8_t>(elements.size())};
  for (const Aml& element : elements) Append(body, element);
  return Packaged({kPackageOp}, body);
}

Aml AmlName(absl::string_view path, const Aml& value) {
  return Operation(kNameOp, {AmlPath(path), value});
}

Aml AmlScope(absl::string_view path, const Aml& body) {
  return Packaged({kScopeOp}, AmlConcat({AmlPath(path), body}));
}

Aml AmlDevice(absl::string_view path, const Aml& body) {
  return Packaged({kExtPrefix, kDeviceOp}, AmlConcat({AmlPath(path), body}));
}

Aml AmlMethod(absl::string_view path, uint8_t argument_count, const Aml& body) {
  const auto flags = static_cast<uint8_t>(argument_count | kMethodSerialized);
  return Packaged({kMethodOp}, AmlConcat({AmlPath(path), {flags}, body}));
}

Aml AmlIoRegion(absl::string_view path, uint16_t port, uint8_t size_bytes) {
  return AmlConcat({{kExtPrefix, kRegionOp},
                    AmlPath(path),
                    {kRegionSystemIo},
                    AmlInteger(port),
                    AmlInteger(size_bytes)});
}

Aml AmlByteField(absl::string_view region, absl::string_view name) {
  constexpr uint8_t kFieldBits = 8;
  return Packaged({kExtPrefix, kFieldOp},
                  AmlConcat({AmlPath(region), {kFieldByteAccess}, AmlPath(name), {kFieldBits}}));
}

Aml AmlArg(uint8_t index) { return {static_cast<uint8_t>(kArg0Op + index)}; }

Aml AmlLocal(uint8_t index) { return {static_cast<uint8_t>(kLocal0Op + index)}; }

Aml AmlStore(const Aml& value, const Aml& target) { return Operation(kStoreOp, {value, target}); }

Aml AmlAnd(const Aml& a, const Aml& b, const Aml& target) {
  return Operation(kAndOp, {a, b, TargetOrNothing(target)});
}

Aml AmlOr(const Aml& a, const Aml& b, const Aml& target) {
  return Operation(kOrOp, {a, b, TargetOrNothing(target)});
}

Aml AmlEqual(const Aml& a, const Aml& b) { return Operation(kEqualOp, {a, b}); }

Aml AmlNot(const Aml& a) { return Operation(kNotOp, {a}); }

Aml AmlIf(const Aml& condition, const Aml& body) {
  return Packaged({kIfOp}, AmlConcat({condition, body}));
}

Aml AmlElse(const Aml& body) { return Packaged({kElseOp}, body); }

Aml AmlReturn(const Aml& value) { return Operation(kReturnOp, {value}); }

Aml AmlNotify(const Aml& object, uint64_t value) {
  return Operation(kNotifyOp, {object, AmlInteger(value)});
}

Aml AmlCreateDwordField(const Aml& buffer, uint64_t byte_offset, absl::string_view name) {
  return Operation(kCreateDwordFieldOp, {buffer, AmlInteger(byte_offset), AmlPath(name)});
}

Aml AmlResources(std::initializer_list<Aml> descriptors) {
  constexpr uint8_t kNoChecksum = 0;  // a zero checksum counts as correct
  return AmlBuffer(AmlConcat({AmlConcat(descriptors), {kEndTag, kNoChecksum}}));
}

Aml AmlIoPorts(uint16_t first, uint8_t count) {
  constexpr uint8_t kAlignment = 1;
  Aml out = {kIoTag, kIoDecode16};
  AppendWire(out, first);
  AppendWire(out, first);
  out.insert(out.end(), {kAlignment, count});
  return out;
}

Aml AmlEdgeIrq(uint8_t irq) {
  Aml out = {kIrqTag};
  AppendWire(out, static_cast<uint16_t>(1u << (irq & 15)));
  out.push_back(kIrqEdge);
  return out;
}

Aml AmlEdgeInterrupt(uint32_t gsi) {
  constexpr uint16_t kLength = 6;
  constexpr uint8_t kCount = 1;
  Aml out = {kInterruptTag};
  AppendWire(out, kLength);
  out.insert(out.end(), {kInterruptConsumer | kInterruptEdge, kCount});
  AppendWire(out, gsi);
  return out;
}

Aml AmlFixedMemory32(uint32_t base, uint32_t size_bytes) {
  constexpr uint16_t kLength = 9;
  Aml out = {kFixedMemory32Tag};
  AppendWire(out, kLength);
  out.push_back(kReadWrite);
  AppendWire(out, base);
  AppendWire(out, size_bytes);
  return out;
}

Aml AmlBusWindow(uint16_t first, uint16_t last) {
  return Window(kAddressWordTag, kWindowBus, 0, first, last);
}

Aml AmlMemoryWindow32(uint32_t first, uint32_t last) {
  return Window(kAddressDwordTag, kWindowMemory, kReadWrite, first, last);
}

Aml AmlMemoryWindow64(uint64_t first, uint64_t last) {
  return Window(kAddressQwordTag, kWindowMemory, kReadWrite, first, last);
}

}  // namespace boot
