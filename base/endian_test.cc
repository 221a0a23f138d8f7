#include "base/endian.h"

#include <cstring>
#include <string>

#include "gtest/gtest.h"

namespace base {
namespace {

template <typename T>
std::string Bytes(const T& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(T));
}

TEST(Endian, StoresBytesInTheOrderOfTheType) {
  EXPECT_EQ(Bytes(Le16(0x0102)), std::string("\x02\x01", 2));
  EXPECT_EQ(Bytes(Be16(0x0102)), std::string("\x01\x02", 2));
  EXPECT_EQ(Bytes(Le32(0x01020304)), std::string("\x04\x03\x02\x01", 4));
  EXPECT_EQ(Bytes(Be32(0x01020304)), std::string("\x01\x02\x03\x04", 4));
  EXPECT_EQ(Bytes(Le64(0x0102030405060708)), std::string("\x08\x07\x06\x05\x04\x03\x02\x01", 8));
  EXPECT_EQ(Bytes(Be64(0x0102030405060708)), std::string("\x01\x02\x03\x04\x05\x06\x07\x08", 8));
}

TEST(Endian, ReadsBackWhatWasStored) {
  EXPECT_EQ(Le32(0xfffefdfc).value(), 0xfffefdfcu);
  EXPECT_EQ(Be32(0xfffefdfc).value(), 0xfffefdfcu);
  EXPECT_EQ(Be64(1).value(), 1u);
  EXPECT_EQ(Le16().value(), 0u);
  static_assert(Be16(0x0102) == Be16(0x0102));
}

TEST(Endian, FieldsNeedNoAlignment) {
  struct Wire {
    uint8_t tag;
    Le32 length;
    Be64 id;
  };
  static_assert(sizeof(Wire) == 13);
  static_assert(WireType<Wire>);
  struct Padded {
    uint8_t tag;
    uint32_t length;
  };
  static_assert(!WireType<Padded>);
  uint8_t buffer[14] = {};
  Wire wire = {.tag = 1, .length = 0x11223344, .id = 5};
  memcpy(buffer + 1, &wire, sizeof(wire));
  Wire copy;
  memcpy(&copy, buffer + 1, sizeof(copy));
  EXPECT_EQ(copy.length.value(), 0x11223344u);
  EXPECT_EQ(copy.id.value(), 5u);
}

}  // namespace
}  // namespace base
