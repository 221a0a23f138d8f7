// A store for tests of the 9P device, with one path in its closure and a secret beside it.
#ifndef VIRTIO_P9_TESTING_P9_STORE_FIXTURES_H_
#define VIRTIO_P9_TESTING_P9_STORE_FIXTURES_H_

#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "virtio/p9/testing/p9_fixtures.h"

namespace virtio {

inline std::string RandomText(size_t bytes) {
  std::mt19937_64 random(bytes);
  std::string text(bytes, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

inline void FillStore(const TemporaryTree& host) {
  host.Write("root/1-app/bin/tool", "content of tool");
  host.Write("root/1-app/big", RandomText(300'000));
  host.Link("../2-secret/key", "root/1-app/link");
  host.Write("root/2-secret/key", "secret");
  for (int i = 0; i < 50; ++i) host.Write(absl::StrCat("root/1-app/many/file-", i), "x");
}

inline P9Harness::Options StoreOptions() { return {.closure = "/nix/store/1-app\n"}; }

inline std::set<std::string> Names(const std::vector<P9Harness::Listed>& listed) {
  std::set<std::string> names;
  for (const auto& entry : listed) names.insert(entry.name);
  return names;
}

}  // namespace virtio

#endif  // VIRTIO_P9_TESTING_P9_STORE_FIXTURES_H_
