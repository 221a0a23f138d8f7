// Fuzzes the parser of closure files: the accepted names must be parts of the text and must not
// lead anywhere else.

#include <cstdint>

#include "absl/strings/string_view.h"
#include "base/log.h"
#include "virtio/host_tree/closure.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto names = virtio::ParseClosure(text);
  if (!names.ok()) return 0;
  virtio::NameSet set;
  set.Add(*names);
  for (const absl::string_view name : *names) {
    CHECK(name.data() >= text.data() && name.data() + name.size() <= text.data() + text.size());
    CHECK(!name.empty() && name.size() <= 255 && name != "." && name != "..");
    CHECK(name.find('/') == absl::string_view::npos && name.find('\0') == absl::string_view::npos);
    CHECK(set.Contains(name));
  }
  CHECK(set.size() <= names->size());
  return 0;
}
