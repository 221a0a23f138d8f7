#include "vmm/config/print_config.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "vmm/config/json_value.h"
#include "vmm/config/load_config.h"

namespace vmm {
namespace {

constexpr const char* kBegin = "<!-- generated from vmm/config/config_fields.cc: begin -->\n";
constexpr const char* kEnd = "<!-- generated: end -->\n";

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Compares the file with `text`, or rewrites it if UPDATE_GOLDEN is set.
void ExpectFileIs(const std::string& path, const std::string& text) {
  if (std::getenv("UPDATE_GOLDEN") != nullptr) {
    std::ofstream(path, std::ios::binary) << text;
  }
  EXPECT_EQ(ReadFile(path), text) << "UPDATE_GOLDEN=1 rewrites " << path;
}

TEST(VmConfigJsonSchema, IsTheFileInDocs) {
  ExpectFileIs(VMM_SOURCE_DIR "/docs/vm.schema.json", VmConfigJsonSchema());
}

TEST(VmConfigJsonSchema, IsJson) {
  const auto schema = ParseJson(VmConfigJsonSchema());
  ASSERT_TRUE(schema.ok()) << schema.status();
  EXPECT_NE(FindMember(*schema->get<JsonObject>(), "properties"), nullptr);
}

TEST(VmConfigDocsTables, AreInTheDocsPage) {
  const std::string path = VMM_SOURCE_DIR "/docs/vm-json.md";
  const std::string page = ReadFile(path);
  const size_t begin = page.find(kBegin);
  const size_t end = page.find(kEnd);
  ASSERT_NE(begin, std::string::npos);
  ASSERT_NE(end, std::string::npos);
  ExpectFileIs(path, page.substr(0, begin) + kBegin + VmConfigDocsTables() + page.substr(end));
}

TEST(PrintVmConfig, LeavesOutKeysWithoutAValue) {
  const auto config =
      ParseVmConfig(R"({"payload": {"kernel": "/k"}, "disks": [{"path": "/a"}]})", {});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(PrintVmConfig(*config, PrintStyle::kCompact),
            R"({"cpus":{"boot_vcpus":1,"max_vcpus":1,"max_phys_bits":46,"nested":false},)"
            R"("memory":{"size":536870912,"thp":true,"hugepages":false,"prefault":false},)"
            R"("payload":{"kernel":"/k"},)"
            R"("disks":[{"path":"/a","readonly":false,"direct":false,"sparse":true,)"
            R"("logical_block_size":512,"num_queues":1,"queue_size":128,)"
            R"("image_type":"Unknown","id":"_disk0","pci_device_id":3}],)"
            R"("rng":{"src":"/dev/urandom","id":"_rng","pci_device_id":2},)"
            R"("console":{"mode":"Tty","max_size":67108864,"id":"_console","pci_device_id":1},)"
            R"("serial":{"mode":"Null"},"pvpanic":true,"io_threads":1})");
}

TEST(PrintVmConfig, PrettyTextIsIndentedAndEndsTheLine) {
  const auto config = ParseVmConfig(R"({"payload": {"kernel": "/k"}})", {});
  ASSERT_TRUE(config.ok()) << config.status();
  const std::string text = PrintVmConfig(*config, PrintStyle::kPretty);
  EXPECT_EQ(text.substr(0, 36), "{\n  \"cpus\": {\n    \"boot_vcpus\": 1,\n ");
  EXPECT_EQ(text.substr(text.size() - 3), "\n}\n");
}

}  // namespace
}  // namespace vmm
