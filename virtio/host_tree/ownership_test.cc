#include "virtio/host_tree/ownership.h"

#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>

namespace virtio {
namespace {

using testing::HasSubstr;

std::string RightsError(const OwnerMap& uids, const OwnerMap& gids, const OwnerRights& rights) {
  return std::string(Ownership(uids, gids, rights).CheckRights("fs[0]").message());
}

TEST(OwnershipTest, MapsMayNameOnlyOwnersThatCanBeGivenFiles) {
  const OwnerRights user = {.uid = 990, .gids = {991, 100}};
  const OwnerMap own_uid({{.guest = 0, .host = 990}});
  const OwnerMap own_gid({{.guest = 0, .host = 991}, {.guest = 5, .host = 100}});
  EXPECT_EQ(RightsError(own_uid, own_gid, user), "");
  EXPECT_EQ(RightsError({}, {}, {.uid = 0, .gids = {0}, .any_owner = true}), "");
  EXPECT_THAT(RightsError({}, own_gid, user), HasSubstr("fs[0].uid_map: missing"));
  EXPECT_THAT(RightsError(own_uid, {}, user),
              HasSubstr("\"gid_map\": [{\"guest\": 0, \"host\": 991}]"));
  EXPECT_THAT(RightsError(OwnerMap({{.guest = 0, .host = 989, .count = 2}}), own_gid, user),
              HasSubstr("fs[0].uid_map: names the host's user 989"));
  EXPECT_THAT(
      RightsError(OwnerMap({{.guest = 0, .host = 990, .count = UINT32_MAX}}), own_gid, user),
      HasSubstr("user 991"));
}

class MappedOwnershipTest : public testing::Test {
 protected:
  static struct statx OwnedBy(uint32_t uid, uint32_t gid) {
    struct statx status = {};
    status.stx_uid = uid;
    status.stx_gid = gid;
    return status;
  }

  const OwnerMap uids_{{{.guest = 0, .host = 1000, .count = 10}}};
  const OwnerMap gids_{{{.guest = 0, .host = 2000, .count = 10}}};
  const Ownership owners_{uids_, gids_, {.any_owner = true}};
};

TEST_F(MappedOwnershipTest, ChangesOnlyTheIdsThatAreGiven) {
  HostOwner owner;
  EXPECT_EQ(owners_.ToHost(3, std::nullopt, owner), 0);
  EXPECT_EQ(owner, (HostOwner{1003, HostOwner::kUnchanged}));
  EXPECT_EQ(owners_.ToHost(std::nullopt, 4, owner), 0);
  EXPECT_EQ(owner, (HostOwner{HostOwner::kUnchanged, 2004}));
  EXPECT_EQ(owners_.ToHost(10, 0, owner), EPERM);
  EXPECT_EQ(owners_.ToHost(0, 10, owner), EPERM);
}

TEST_F(MappedOwnershipTest, NobodyMakesFilesAsTheLargestId) {
  HostOwner owner;
  EXPECT_EQ(owners_.ToMaker(3, 4, owner), 0);
  EXPECT_EQ(owner, (HostOwner{1003, 2004}));
  EXPECT_EQ(owners_.ToMaker(10, 4, owner), EPERM);
  const Ownership all({}, {}, {.any_owner = true});
  EXPECT_EQ(all.ToMaker(0, 0, owner), 0);
  EXPECT_EQ(all.ToMaker(UINT32_MAX, 0, owner), EPERM);
  EXPECT_EQ(all.ToMaker(0, UINT32_MAX, owner), EPERM);
}

TEST_F(MappedOwnershipTest, FilesOfOtherOwnersMayNotBeChanged) {
  EXPECT_TRUE(owners_.MayChange(OwnedBy(1000, 2009)));
  EXPECT_FALSE(owners_.MayChange(OwnedBy(999, 2000)));
  EXPECT_FALSE(owners_.MayChange(OwnedBy(1000, 2010)));
}

TEST_F(MappedOwnershipTest, TheHostDecidesWhatVmmWithoutPrivilegesMayChange) {
  const Ownership unprivileged(uids_, gids_, {.uid = 1000, .gids = {2000}});
  EXPECT_FALSE(unprivileged.protects_others());
  EXPECT_TRUE(unprivileged.MayChange(OwnedBy(0, 0)));
  EXPECT_FALSE(Ownership({}, {}, {.any_owner = true}).protects_others());
}

TEST_F(MappedOwnershipTest, OnlyGroupsOfTheGuestGetSetGroupId) {
  const uint32_t both = S_ISUID | S_ISGID;
  EXPECT_EQ(owners_.LimitSetIds(both, 2000), both);
  EXPECT_EQ(owners_.LimitSetIds(both, 2010), uint32_t{S_ISUID});
  // Without privileges, vmm can give files only to groups of its own.
  const Ownership unprivileged(uids_, gids_, {.uid = 1000, .gids = {2000}});
  EXPECT_EQ(unprivileged.LimitSetIds(both, 2010), both);
}

}  // namespace
}  // namespace virtio
