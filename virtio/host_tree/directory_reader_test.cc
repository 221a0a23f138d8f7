#include "virtio/host_tree/directory_reader.h"

#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "virtio/host_tree/testing/temporary_tree_fixtures.h"

namespace virtio {
namespace {

using testing::UnorderedElementsAre;

class DirectoryReaderTest : public testing::Test {
 protected:
  // Reads one entry and moves `offset` past that entry. Returns its name, "" at the end.
  std::string ReadOne(uint64_t& offset) {
    std::string name;
    const auto visit = [&](const DirectoryEntry& entry) {
      if (!name.empty()) return false;
      name = std::string(entry.name);
      offset = entry.next_offset;
      return true;
    };
    EXPECT_EQ(reader_.Read(nodes_.root(), offset, visit, /*looks_up=*/false), 0);
    return name;
  }
  std::vector<std::string> ReadAll() {
    std::vector<std::string> names;
    uint64_t offset = 0;
    for (std::string name = ReadOne(offset); !name.empty(); name = ReadOne(offset)) {
      names.push_back(name);
    }
    return names;
  }

  TemporaryTree host_{testing::TempDir()};
  DirectoryCache directories_{2};
  HostRoot root_{*OpenRoot("fs[0]", host_.path(), std::nullopt), /*submounts=*/false, directories_};
  NodeTable nodes_{root_.identity(), NodeTable::BytesFor(10)};
  NodeOpener opener_{root_, directories_};
  DirectoryReader reader_{root_, opener_};
};

TEST_F(DirectoryReaderTest, PiecesOfOneDirectoryNeedOneOpen) {
  for (const char* name : {"a", "b", "c"}) host_.Write(name, "");
  EXPECT_THAT(ReadAll(), UnorderedElementsAre(".", "..", "a", "b", "c"));
  EXPECT_EQ(root_.opens(), 1U);
  // The last piece had no entries, so the directory was closed.
  EXPECT_EQ(ReadAll().size(), 5U);
  EXPECT_EQ(root_.opens(), 2U);
}

TEST_F(DirectoryReaderTest, ADirectoryThatWasClosedIsReadOnFromTheSameOffset) {
  for (const char* name : {"a", "b", "c"}) host_.Write(name, "");
  uint64_t offset = 0;
  std::vector<std::string> names;
  for (int i = 0; i < 5; ++i) {
    names.push_back(ReadOne(offset));
    reader_.Close(kRootNode);
  }
  EXPECT_THAT(names, UnorderedElementsAre(".", "..", "a", "b", "c"));
  EXPECT_EQ(root_.opens(), 5U);
}

TEST_F(DirectoryReaderTest, OffsetZeroShowsTheDirectoryAsItIsNow) {
  host_.Write("a", "");
  uint64_t offset = 0;
  ReadOne(offset);
  host_.Write("b", "");
  EXPECT_THAT(ReadAll(), UnorderedElementsAre(".", "..", "a", "b"));
}

TEST_F(DirectoryReaderTest, OffsetsBeyondThoseOfTheHostAreInvalid) {
  const auto visit = [](const DirectoryEntry&) { return true; };
  EXPECT_EQ(reader_.Read(nodes_.root(), uint64_t{1} << 63, visit, false), EINVAL);
}

}  // namespace
}  // namespace virtio
