#include "virtio/fs/kept_contents.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

namespace virtio {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using Answer = KeptContents::Answer;

constexpr NodeId kFile{7};
constexpr nanoseconds kNow = seconds(1000);

// Returns the attributes of a file of 10 bytes that was last changed `age` before kNow.
FileAttributes Changed(nanoseconds age) {
  const nanoseconds at = kNow - age;
  FileAttributes file;
  file.size_bytes = 10;
  file.changed = {.seconds = at / seconds(1),
                  .nanoseconds = static_cast<uint32_t>((at % seconds(1)).count())};
  file.modified = file.changed;
  return file;
}

TEST(KeptContents, AnUnchangedFileIsKeptFromTheSecondOpenOn) {
  KeptContents kept(10);
  const FileAttributes file = Changed(seconds(5));
  EXPECT_EQ(kept.Open(kFile, file, false, kNow), Answer::kRenew);
  EXPECT_EQ(kept.Open(kFile, file, false, kNow), Answer::kKeepAll);
  EXPECT_EQ(kept.Open(kFile, file, false, kNow + seconds(3600)), Answer::kKeepAll);
  EXPECT_EQ(kept.Open(NodeId{8}, file, false, kNow), Answer::kRenew);
}

TEST(KeptContents, AnyChangeDropsCachedData) {
  const auto after = [](auto change) {
    KeptContents kept(10);
    FileAttributes file = Changed(seconds(5));
    EXPECT_EQ(kept.Open(kFile, file, false, kNow), Answer::kRenew);
    change(file);
    return kept.Open(kFile, file, false, kNow);
  };
  EXPECT_EQ(after([](FileAttributes&) {}), Answer::kKeepAll);
  EXPECT_EQ(after([](FileAttributes& file) { ++file.size_bytes; }), Answer::kRenew);
  EXPECT_EQ(after([](FileAttributes& file) { ++file.modified.nanoseconds; }), Answer::kRenew);
  EXPECT_EQ(after([](FileAttributes& file) { ++file.changed.nanoseconds; }), Answer::kRenew);
  EXPECT_EQ(after([](FileAttributes& file) { --file.changed.seconds; }), Answer::kRenew);
}

TEST(KeptContents, AFileThatHasJustChangedIsReadAgain) {
  for (const bool coarse : {false, true}) {
    const nanoseconds tick = coarse ? KeptContents::kCoarseTick : KeptContents::kTick;
    KeptContents kept(10);
    const FileAttributes young = Changed(tick - nanoseconds(1));
    EXPECT_EQ(kept.Open(kFile, young, coarse, kNow), Answer::kDrop);
    // The file is the same later, but the guest may have read it before its last change.
    EXPECT_EQ(kept.Open(kFile, young, coarse, kNow + seconds(10)), Answer::kRenew);
    EXPECT_EQ(kept.Open(kFile, young, coarse, kNow + seconds(20)), Answer::kKeepAll);
    EXPECT_EQ(kept.Open(NodeId{8}, Changed(tick), coarse, kNow), Answer::kRenew);
  }
}

TEST(KeptContents, TimesOfWholeSecondsCountAsCoarse) {
  KeptContents kept(10);
  const FileAttributes file = Changed(nanoseconds(0));
  EXPECT_EQ(kept.Open(kFile, file, false, kNow + milliseconds(1999)), Answer::kDrop);
  EXPECT_EQ(kept.Open(kFile, file, false, kNow + milliseconds(2000)), Answer::kRenew);
}

TEST(KeptContents, AnyTimeOfTheHostIsAccepted) {
  KeptContents kept(10);
  for (const int64_t odd : {std::numeric_limits<int64_t>::min(),
                            std::numeric_limits<int64_t>::max(), int64_t{-1}, int64_t{0}}) {
    FileAttributes file = Changed(seconds(5));
    file.modified.seconds = file.changed.seconds = odd;
    EXPECT_EQ(kept.Open(kFile, file, false, kNow), odd > 1000 ? Answer::kDrop : Answer::kRenew);
  }
  // The clock of the host was set back.
  const FileAttributes file = Changed(seconds(5));
  EXPECT_EQ(kept.Open(kFile, file, false, kNow), Answer::kRenew);
  EXPECT_EQ(kept.Open(kFile, file, false, kNow - seconds(1)), Answer::kRenew);
}

TEST(KeptContents, AListingIsKeptAsLongAsItsEntriesAreValid) {
  KeptContents kept(10);
  const FileAttributes directory = Changed(seconds(5));
  const auto open = [&](nanoseconds at) {
    return kept.OpenDirectory(kFile, directory, false, at, seconds(1));
  };
  EXPECT_EQ(open(kNow), Answer::kRenew);
  EXPECT_EQ(open(kNow + milliseconds(999)), Answer::kKeepAll);
  EXPECT_EQ(open(kNow + milliseconds(1000)), Answer::kRenew);
  EXPECT_EQ(open(kNow + milliseconds(1999)), Answer::kKeepAll);
}

TEST(KeptContents, RememberedFilesAreBounded) {
  KeptContents kept(3);
  const FileAttributes file = Changed(seconds(5));
  for (uint64_t i = 0; i < 100; ++i) {
    EXPECT_EQ(kept.Open(NodeId{i}, file, false, kNow), Answer::kRenew);
    EXPECT_LE(kept.size(), 3U);
  }
  EXPECT_EQ(kept.Open(NodeId{99}, file, false, kNow), Answer::kKeepAll);
  kept.Forget(NodeId{99});
  EXPECT_EQ(kept.Open(NodeId{99}, file, false, kNow), Answer::kRenew);
  kept.ForgetAll();
  EXPECT_EQ(kept.size(), 0U);
}

}  // namespace
}  // namespace virtio
