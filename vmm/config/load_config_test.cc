#include "vmm/config/load_config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <utility>

#include "vmm/config/json_value.h"
#include "vmm/config/print_config.h"

namespace vmm {
namespace {

constexpr const char* kMinimal = R"({"payload": {"kernel": "/k"}})";

absl::StatusOr<VmConfig> Parse(absl::string_view text, std::vector<std::string> overrides = {}) {
  return ParseVmConfig(text, {.overrides = std::move(overrides)});
}

std::string ErrorOf(const absl::StatusOr<VmConfig>& config) {
  return std::string(config.status().message());
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(ParseVmConfig, FillsInTheDefaults) {
  const auto config = Parse(kMinimal);
  ASSERT_TRUE(config.ok()) << config.status();
  VmConfig expected;
  expected.payload.kernel = "/k";
  expected.cpus.max_vcpus = 1;
  expected.console.id = "_console";
  expected.console.pci_device_id = 1;
  expected.console.max_size = 64 * kMiB;
  expected.rng.id = "_rng";
  expected.rng.pci_device_id = 2;
  expected.pvpanic_pci_slot = 31;
  EXPECT_EQ(*config, expected);
}

TEST(ParseVmConfig, ReadsEveryKindOfValue) {
  const auto config = Parse(R"({
    "cpus": {"boot_vcpus": 4, "nested": true, "max_phys_bits": 40},
    "memory": {"size": "5G", "hugepages": true, "hugepage_size": "1G", "prefault": true, "thp": false},
    "payload": {"kernel": "/k", "initramfs": "/i", "cmdline": "console=hvc0 é"},
    "disks": [{"path": "/a", "readonly": true, "direct": true, "serial": "root", "num_queues": 4,
               "queue_size": 256, "id": "root", "image_type": "Raw", "sparse": false,
               "logical_block_size": 4096,
               "features_mask": 18446744073709551615}],
    "console": {"mode": "Socket", "socket": "/s"}, "serial": {"mode": "File", "file": "/f"},
    "platform": {"system_uuid": "8d4e8f6a-3c1b-4e0e-9d0a-0f1e2d3c4b5a", "oem_strings": ["a", "b"],
                 "serial_number": "7"},
    "pvpanic": false, "io_threads": 2})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->cpus.boot_vcpus, 4U);
  EXPECT_EQ(config->cpus.max_vcpus, 4U);
  EXPECT_TRUE(config->cpus.nested);
  EXPECT_EQ(config->cpus.max_phys_bits, 40U);
  EXPECT_EQ(config->memory.size, 5 * kGiB);
  EXPECT_EQ(config->memory.hugepage_size, kGiB);
  EXPECT_TRUE(config->memory.prefault);
  EXPECT_FALSE(config->memory.thp);
  EXPECT_EQ(config->payload.initramfs, "/i");
  EXPECT_EQ(config->payload.cmdline, "console=hvc0 é");
  ASSERT_EQ(config->disks.size(), 1U);
  EXPECT_EQ(config->disks[0].path, "/a");
  EXPECT_TRUE(config->disks[0].readonly);
  EXPECT_TRUE(config->disks[0].direct);
  EXPECT_FALSE(config->disks[0].sparse);
  EXPECT_EQ(config->disks[0].logical_block_size, 4096U);
  EXPECT_EQ(config->disks[0].serial, "root");
  EXPECT_EQ(config->disks[0].num_queues, 4U);
  EXPECT_EQ(config->disks[0].queue_size, 256U);
  EXPECT_EQ(config->disks[0].id, "root");
  EXPECT_EQ(config->disks[0].image_type, ImageType::kRaw);
  EXPECT_EQ(config->disks[0].features_mask, UINT64_MAX);
  EXPECT_EQ(config->console.mode, ConsoleMode::kSocket);
  EXPECT_EQ(config->console.socket, "/s");
  EXPECT_EQ(config->serial.mode, ConsoleMode::kFile);
  EXPECT_EQ(config->serial.file, "/f");
  EXPECT_EQ(config->platform.uuid, "8d4e8f6a-3c1b-4e0e-9d0a-0f1e2d3c4b5a");
  EXPECT_EQ(config->platform.serial_number, "7");
  EXPECT_EQ(config->platform.oem_strings, (std::vector<std::string>{"a", "b"}));
  EXPECT_FALSE(config->pvpanic);
  EXPECT_EQ(config->io_threads, 2U);
}

TEST(ParseVmConfig, ReadsRateLimits) {
  const auto config = Parse(R"({"payload": {"kernel": "/k"}, "name": "web",
    "rate_limit_groups": [{"id": "slow", "rate_limiter_config":
        {"ops": {"size": 1, "one_time_burst": 2, "refill_time": 3}}}],
    "disks": [{"path": "/a", "rate_limit_group": "slow"},
              {"path": "/b", "rate_limiter_config": {"bandwidth": null, "ops": null}}],
    "net": [{"tap": "t", "rate_limiter_config": {
        "bandwidth": {"size": "10M", "one_time_burst": null, "refill_time": 100},
        "ops": {"size": 18446744073709551615, "one_time_burst": 0,
                "refill_time": 18446744073709551615}}}]})");
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_EQ(config->rate_limit_groups.size(), 1U);
  EXPECT_EQ(config->rate_limit_groups[0].id, "slow");
  const RateLimiterConfig& group = config->rate_limit_groups[0].rate_limiter_config;
  EXPECT_EQ(group.bandwidth, TokenBucketConfig());
  EXPECT_EQ(group.ops, (TokenBucketConfig{.size = 1, .one_time_burst = 2, .refill_time = 3}));
  EXPECT_EQ(config->disks[0].rate_limit_group, "slow");
  EXPECT_EQ(config->disks[1].rate_limiter_config, RateLimiterConfig());
  const RateLimiterConfig& net = config->net[0].rate_limiter_config;
  EXPECT_EQ(net.bandwidth.size, 10 * kMiB);
  EXPECT_EQ(net.bandwidth.one_time_burst, std::nullopt);
  EXPECT_EQ(net.bandwidth.refill_time, 100U);
  EXPECT_EQ(net.ops.size, UINT64_MAX);
  EXPECT_EQ(net.ops.one_time_burst, 0U);
  EXPECT_EQ(net.ops.refill_time, UINT64_MAX);
  EXPECT_EQ(*Parse(PrintVmConfig(*config, PrintStyle::kCompact)), *config);
}

TEST(ParseVmConfig, SizesTakeSuffixesOfPowersOf1024) {
  const auto size = [](absl::string_view text) {
    return Parse(absl::StrCat(R"({"payload": {"kernel": "/k"}, "memory": {"size": )", text, "}}"))
        .value()
        .memory.size;
  };
  EXPECT_EQ(size("536870912"), 512 * kMiB);
  EXPECT_EQ(size("\"536870912\""), 512 * kMiB);
  EXPECT_EQ(size("\"524288K\""), 512 * kMiB);
  EXPECT_EQ(size("\"512M\""), 512 * kMiB);
  EXPECT_EQ(size("\"1G\""), kGiB);
  EXPECT_EQ(size("\"1T\""), 1024 * kGiB);
}

TEST(ParseVmConfig, NullCountsAsAbsent) {
  EXPECT_EQ(*Parse(R"({"payload": {"kernel": "/k", "cmdline": null}, "disks": null, "cpus": null,
                       "pvpanic": null, "memory": {"size": null, "mergeable": null}})"),
            *Parse(kMinimal));
}

// Clients of cloud-hypervisor send its whole VmConfig.
TEST(ParseVmConfig, AcceptsEveryKeyOfCloudHypervisorAtItsDefault) {
  const auto config = Parse(R"({
    "cpus": {"boot_vcpus": 1, "max_vcpus": 1, "topology": null, "kvm_hyperv": false, "max_phys_bits": 46,
             "affinity": null, "features": {"amx": false}, "nested": true, "core_scheduling": "Vm",
             "profile": "Host"},
    "memory": {"size": 536870912, "mergeable": false, "hotplug_method": "Acpi", "hotplug_size": null,
               "hotplugged_size": null, "shared": false, "hugepages": false, "hugepage_size": null,
               "prefault": false, "reserve": false, "zones": null, "thp": true},
    "payload": {"firmware": null, "kernel": "/k", "cmdline": null, "initramfs": null, "igvm": null},
    "rate_limit_groups": null,
    "disks": [{"path": "/a", "readonly": false, "direct": false, "iommu": false, "num_queues": 1,
               "queue_size": 128, "vhost_user": false, "vhost_socket": null, "rate_limit_group": null,
               "rate_limiter_config": null, "id": null, "disable_io_uring": false, "disable_aio": false,
               "pci_segment": 0, "pci_device_id": null, "serial": null, "queue_affinity": null,
               "backing_files": false, "sparse": true, "image_type": "Unknown",
               "lock_granularity": "ByteRange"}],
    "net": null, "rng": {"src": "/dev/urandom", "iommu": false, "pci_segment": 0}, "balloon": null,
    "fs": [], "pmem": null, "generic_vhost_user": null,
    "serial": {"file": null, "mode": "Null", "iommu": false, "socket": null},
    "console": {"file": null, "mode": "Tty", "iommu": false, "socket": null},
    "debug_console": {"file": null, "mode": "Off", "iobase": 233},
    "devices": null, "user_devices": null, "vdpa": null, "vsock": null, "pvpanic": false,
    "iommu": false, "rtc": null, "numa": null, "watchdog": false, "gdb": false, "pci_segments": null,
    "platform": {"num_pci_segments": 1, "iommu_segments": null, "iommu_address_width_bits": 64,
                 "serial_number": null, "uuid": null, "oem_strings": null, "iommufd": false,
                 "vfio_p2p_dma": true},
    "tpm": null, "preserved_fds": null, "landlock_enable": false, "landlock_rules": null})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_TRUE(config->cpus.nested);
  EXPECT_FALSE(config->pvpanic);
}

// Guests name interfaces after slots.
TEST(ParseVmConfig, SlotsOfNetworkDevicesDoNotDependOnOtherDevices) {
  const char* const kNet = R"("net": [{"tap": "a"}, {"tap": "b"}], "name": "web")";
  for (const char* const others :
       {"", R"(, "disks": [{"path": "/a"}, {"path": "/b"}])", R"(, "pvpanic": false)"}) {
    const auto config = Parse(absl::StrCat(R"({"payload": {"kernel": "/k"}, )", kNet, others, "}"));
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ(config->net[0].pci_device_id, 30U);
    EXPECT_EQ(config->net[1].pci_device_id, 29U);
  }
}

TEST(ParseVmConfig, AssignsSlotsInAFixedOrder) {
  const auto config = Parse(R"({"payload": {"kernel": "/k"}, "rng": {"pci_device_id": 31},
    "disks": [{"path": "/a"}, {"path": "/b", "pci_device_id": 2}, {"path": "/c"}]})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->console.pci_device_id, 1U);
  EXPECT_EQ(config->rng.pci_device_id, 31U);
  EXPECT_EQ(config->disks[0].pci_device_id, 3U);
  EXPECT_EQ(config->disks[1].pci_device_id, 2U);
  EXPECT_EQ(config->disks[2].pci_device_id, 4U);
  EXPECT_EQ(config->pvpanic_pci_slot, 30U);
}

TEST(ParseVmConfig, AcceptsAndIgnoresTheNameOfAPty) {
  const auto config = Parse(R"({"payload": {"kernel": "/k"},
    "console": {"mode": "Pty", "file": "/dev/pts/3"}, "serial": {"mode": "Pty", "file": "/dev/pts/4"}})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_FALSE(config->console.file.has_value());
  EXPECT_FALSE(config->serial.file.has_value());
}

TEST(ParseVmConfig, AConsoleThatIsOffTakesNoSlot) {
  const auto config = Parse(R"({"payload": {"kernel": "/k"}, "console": {"mode": "Off"},
                                "pvpanic": false})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_FALSE(config->console.pci_device_id.has_value());
  EXPECT_EQ(config->rng.pci_device_id, 1U);
  EXPECT_EQ(config->pvpanic_pci_slot, 0U);
}

TEST(ParseVmConfig, TwoReadonlyDisksMayShareAnImage) {
  EXPECT_TRUE(Parse(R"({"payload": {"kernel": "/k"}, "disks": [{"path": "/a", "readonly": true},
                                                               {"path": "/a", "readonly": true}]})")
                  .ok());
}

TEST(ParseVmConfig, JoinsRelativePathsToTheBaseDirectory) {
  const auto config =
      ParseVmConfig(R"({"payload": {"kernel": "k", "initramfs": "/i"}, "disks": [{"path": "d/a"}],
                        "serial": {"mode": "Socket", "socket": "s"}})",
                    {.base_dir = "/etc/vm"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->payload.kernel, "/etc/vm/k");
  EXPECT_EQ(config->payload.initramfs, "/i");
  EXPECT_EQ(config->disks[0].path, "/etc/vm/d/a");
  EXPECT_EQ(config->serial.socket, "/etc/vm/s");
}

TEST(ParseVmConfig, ChecksTheLengthOfTheJoinedPath) {
  EXPECT_EQ(ErrorOf(ParseVmConfig(R"({"serial": {"mode": "Socket", "socket": "s"}})",
                                  {.base_dir = "/" + std::string(105, 'd')})),
            "vm.json: serial.socket: is 108 bytes long as an absolute path; the most is 107");
}

TEST(ParseVmConfig, RefusesRelativePathsWithoutABaseDirectory) {
  EXPECT_EQ(ErrorOf(ParseVmConfig(R"({"payload": {"kernel": "k"}})",
                                  {.source = "", .paths_must_be_absolute = true})),
            "payload.kernel: must be an absolute path, not \"k\"");
}

TEST(ParseVmConfig, AppliesOverridesInOrderBeforeAnythingIsChecked) {
  const auto config = Parse(R"({"cpus": {"boot_vcpus": 0}})",
                            {"payload.kernel=/k", "cpus.boot_vcpus=2", "cpus.boot_vcpus=3",
                             "disks[0].path=/a", "disks[0].num_queues=3", "memory.size=1G"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->cpus.boot_vcpus, 3U);
  EXPECT_EQ(config->disks[0].num_queues, 3U);
  EXPECT_EQ(config->memory.size, kGiB);
}

TEST(ParseVmConfig, NamesTheKeyThatAnOverrideBroke) {
  EXPECT_EQ(ErrorOf(Parse(kMinimal, {"disks[0].pth=/a"})),
            "vm.json: disks[0].pth: unknown key, did you mean \"path\"?");
  EXPECT_EQ(ErrorOf(Parse(kMinimal, {"payload.cmdline=7"})),
            "vm.json: payload.cmdline: must be a string in double quotes, not 7");
  EXPECT_EQ(ErrorOf(Parse(kMinimal, {"disks[1].path=/a"})),
            "vm.json: --set disks[1].path=/a: disks has 0 elements; the next index is 0");
}

TEST(ParseVmConfig, PrintedConfigsParseToTheSameConfig) {
  const auto config = Parse(R"({"payload": {"kernel": "/k", "cmdline": "a \"b\" \\"},
    "memory": {"size": "1G", "hugepages": true, "hugepage_size": "2M"},
    "console": {"mode": "Off"}, "serial": {"mode": "Tty"},
    "disks": [{"path": "/a", "serial": "x"}, {"path": "/b", "pci_device_id": 9, "features_mask": 5}],
    "platform": {"uuid": "8D4E8F6A-3c1b-4e0e-9d0a-0f1e2d3c4b5a", "oem_strings": ["x=é"]}})");
  ASSERT_TRUE(config.ok()) << config.status();
  for (PrintStyle style : {PrintStyle::kCompact, PrintStyle::kPretty}) {
    const auto again = Parse(PrintVmConfig(*config, style));
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(*again, *config);
  }
}

TEST(ParseVmConfig, ReadsCredentialsAndPrintsNamesAndFilesOnly) {
  const auto config = Parse(R"({"payload": {"kernel": "/k"}, "platform": {"credentials":
    {"ssh.authorized_keys.root": {"file": "/f"}, "token": {}}}})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->platform.credentials,
            (std::vector<CredentialConfig>{{"ssh.authorized_keys.root", "/f"}, {"token", {}}}));
  const std::string printed = PrintVmConfig(*config, PrintStyle::kCompact);
  EXPECT_NE(printed.find(R"("credentials":{"ssh.authorized_keys.root":{"file":"/f"},"token":{}})"),
            std::string::npos)
      << printed;
  EXPECT_EQ(*Parse(printed), *config);
}

// tests/data/bad_configs.json: {name, config or text, message}.
TEST(ParseVmConfig, SaysExactlyWhatIsWrong) {
  const std::string file = ReadFile(VMM_SOURCE_DIR "/tests/data/bad_configs.json");
  const auto table = ParseJson(file);
  ASSERT_TRUE(table.ok()) << table.status();
  const JsonArray& cases = *table->get<JsonArray>();
  EXPECT_GE(cases.size(), 100U);
  for (const JsonValue& entry : cases) {
    const JsonObject& object = *entry.get<JsonObject>();
    const JsonValue* text = FindMember(object, "text");
    const std::string config =
        text != nullptr ? *text->get<std::string>() : PrintJson(*FindMember(object, "config"), 0);
    EXPECT_EQ(ErrorOf(Parse(config)), *FindMember(object, "message")->get<std::string>())
        << *FindMember(object, "name")->get<std::string>();
  }
}

class LoadVmConfigTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(::mkdtemp(dir_.data()), nullptr);
    path_ = dir_ + "/vm.json";
  }
  void TearDown() override {
    std::remove(path_.c_str());
    std::remove(dir_.c_str());
  }
  void Write(const std::string& text) { std::ofstream(path_, std::ios::binary) << text; }

  std::string dir_ = testing::TempDir() + "vm_config_XXXXXX";
  std::string path_;
};

TEST_F(LoadVmConfigTest, PathsAreRelativeToTheFile) {
  Write(R"({"payload": {"kernel": "k"}})");
  const auto config = LoadVmConfig(path_, {"payload.initramfs=i"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->payload.kernel, dir_ + "/k");
  EXPECT_EQ(config->payload.initramfs, dir_ + "/i");
}

TEST_F(LoadVmConfigTest, PathsAreAbsoluteEvenIfTheFileIsNamedRelatively) {
  Write(R"({"payload": {"kernel": "k"}})");
  ASSERT_EQ(::chdir(dir_.c_str()), 0);
  EXPECT_EQ(LoadVmConfig("vm.json", {}).value().payload.kernel, dir_ + "/k");
  EXPECT_EQ(LoadVmConfig("./vm.json", {}).value().payload.kernel, dir_ + "/./k");
  ASSERT_EQ(::chdir("/"), 0);
}

TEST_F(LoadVmConfigTest, SaysWhichFileCannotBeRead) {
  EXPECT_EQ(ErrorOf(LoadVmConfig(path_, {})),
            path_ + ": cannot open: No such file or directory (ENOENT); check what --config names");
  EXPECT_EQ(ErrorOf(LoadVmConfig(dir_, {})),
            dir_ + ": cannot read: Is a directory (EISDIR); check what --config names");
}

TEST_F(LoadVmConfigTest, StopsReadingAtTheLimit) {
  EXPECT_EQ(ErrorOf(LoadVmConfig("/dev/zero", {})),
            "/dev/zero: larger than 1048576 bytes, the most that is read");
}

TEST_F(LoadVmConfigTest, ErrorsNameTheFile) {
  Write("{}");
  EXPECT_EQ(ErrorOf(LoadVmConfig(path_, {})),
            path_ + ": payload.kernel: missing; name a bzImage or an ELF vmlinux");
}

}  // namespace
}  // namespace vmm
