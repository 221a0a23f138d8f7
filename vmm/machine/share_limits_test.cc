#include "vmm/machine/share_limits.h"

#include <cstdint>
#include <vector>

#include "gtest/gtest.h"

namespace vmm {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kGiB = 1 << 30;

std::vector<ShareLimits> Limits(const std::vector<FsConfig>& shares, uint64_t max_descriptors,
                                uint64_t ram_bytes = kGiB) {
  const auto limits = LimitsOfShares(shares, max_descriptors, ram_bytes);
  EXPECT_TRUE(limits.ok()) << limits.status();
  return limits.ok() ? *limits : std::vector<ShareLimits>(shares.size());
}

FsConfig Writable() { return FsConfig(); }
FsConfig ReadOnly() {
  FsConfig config;
  config.readonly = true;
  config.cache = ShareCache::kAlways;
  return config;
}
FsConfig ReadOnlyThatChanges() {
  FsConfig config = ReadOnly();
  config.cache = ShareCache::kAuto;
  return config;
}
FsConfig With(uint32_t max_open_files) {
  FsConfig config;
  config.max_open_files = max_open_files;
  return config;
}

TEST(ShareLimits, HalfOfTheDescriptorsAreForOpenFiles) {
  const auto one = Limits({Writable()}, 10'256);
  EXPECT_EQ(one[0].open_files, 5000U);
  EXPECT_EQ(one[0].directories, 5000U);
  const auto two = Limits({Writable(), Writable()}, 10'256);
  EXPECT_EQ(two[1].open_files, 2500U);
  // There is a maximum, which is lower for a share whose files never change.
  EXPECT_EQ(Limits({Writable()}, 1 << 20)[0].open_files, 8192U);
  EXPECT_EQ(Limits({ReadOnly()}, 1 << 20)[0].open_files, 1024U);
  EXPECT_EQ(Limits({ReadOnlyThatChanges()}, 1 << 20)[0].open_files, 8192U);
  EXPECT_EQ(Limits({Writable()}, 100)[0].open_files, 16U);
}

TEST(ShareLimits, AShareGetsTheFilesThatItsConfigAsksFor) {
  const auto limits = Limits({With(50'000), Writable()}, 60'256);
  EXPECT_EQ(limits[0].open_files, 50'000U);
  EXPECT_EQ(limits[0].directories, 2500U);
  EXPECT_EQ(limits[1].open_files, 2500U);
  EXPECT_EQ(Limits({With(16)}, 1 << 20)[0].open_files, 16U);
}

TEST(ShareLimits, MoreOpenFilesThanDescriptorsAreAnError) {
  EXPECT_EQ(
      LimitsOfShares({Writable(), With(1000)}, 1024, kGiB).status().message(),
      "fs[1].max_open_files: 1000 are more than the 704 that are left of the 1024 descriptors "
      "of a process; lower it, or raise ulimit -Hn or LimitNOFILE=");
  // Two shares together may ask for too many.
  EXPECT_FALSE(LimitsOfShares({With(400), With(400)}, 1024, kGiB).ok());
  EXPECT_TRUE(LimitsOfShares({With(300), With(300)}, 1024, kGiB).ok());
  EXPECT_FALSE(LimitsOfShares({With(16)}, 100, kGiB).ok());
}

TEST(ShareLimits, NodesMayTakeAQuarterOfTheGuestsRam) {
  EXPECT_EQ(Limits({Writable()}, 1024, kGiB)[0].node_bytes, 256 * kMiB);
  EXPECT_EQ(Limits({ReadOnly()}, 1024, 64 * kMiB)[0].node_bytes, 64 * kMiB);
  EXPECT_EQ(Limits({ReadOnly()}, 1024, 64 * kGiB)[0].node_bytes, kGiB);
  FsConfig config;
  config.max_node_memory = 3 * kMiB;
  EXPECT_EQ(Limits({config}, 1024, 64 * kGiB)[0].node_bytes, 3 * kMiB);
}

TEST(ShareLimits, NoSharesGetNoLimits) { EXPECT_TRUE(Limits({}, 10).empty()); }

}  // namespace
}  // namespace vmm
