#include "virtio/host_tree/node_table.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <set>
#include <string>
#include <vector>

namespace virtio {
namespace {

class NodeTableTest : public testing::Test {
 protected:
  Node* Insert(uint64_t inode, Node& parent, absl::string_view name, uint16_t type = S_IFDIR) {
    return table_.Insert({.device = 1, .inode = inode, .birth_ns = 7}, type, parent, name);
  }
  Node& root() { return *table_.Find(kRootNode); }

  NodeTable table_{{.device = 1, .inode = 2, .birth_ns = 7}, NodeTable::BytesFor(5000)};
};

TEST_F(NodeTableTest, GivesOneNodeToOneFile) {
  Node* a = Insert(10, root(), "a");
  EXPECT_EQ(table_.Find(a->id), a);
  EXPECT_EQ(Insert(10, root(), "a"), a);
  EXPECT_EQ(a->lookups, 2U);
  EXPECT_NE(Insert(11, root(), "b"), a);
  EXPECT_EQ(root().children, 2U);
  // The same inode number with another time of birth is another file.
  EXPECT_NE(table_.Insert({.device = 1, .inode = 10, .birth_ns = 8}, S_IFDIR, root(), "a"), a);
}

TEST_F(NodeTableTest, FindsNothingByIdsThatWereNotGivenOut) {
  Node* a = Insert(10, root(), "a");
  const auto id = static_cast<uint64_t>(a->id);
  for (const uint64_t forged :
       {uint64_t{0}, id + 1, id + 2, id ^ (uint64_t{1} << 32), id ^ (uint64_t{1} << 63),
        ~uint64_t{0}, uint64_t{1} << 32, uint64_t{0x100000001}}) {
    EXPECT_EQ(table_.Find(NodeId{forged}), nullptr) << forged;
  }
}

TEST_F(NodeTableTest, ForgottenIdsStayForgotten) {
  std::set<NodeId> seen;
  for (int i = 0; i < 3000; ++i) {
    Node* a = Insert(10, root(), "a");
    EXPECT_TRUE(seen.insert(a->id).second);
    a->lookups = 0;
    table_.RemoveUnused(*a);
    EXPECT_EQ(table_.Find(*seen.rbegin()), nullptr);
  }
  EXPECT_EQ(table_.size(), 1U);
}

TEST_F(NodeTableTest, IsBounded) {
  for (uint64_t i = 1; i < 5000; ++i)
    ASSERT_NE(Insert(100 + i, root(), std::to_string(i)), nullptr);
  EXPECT_EQ(Insert(99999, root(), "one too many"), nullptr);
  EXPECT_NE(Insert(101, root(), "1"), nullptr);  // a file that has a node is found
}

TEST_F(NodeTableTest, CountsItsBytesWithTheNames) {
  const std::string name(255, 'n');
  const size_t empty = table_.bytes();
  EXPECT_EQ(empty, NodeTable::BytesFor(1));
  Node* a = Insert(10, root(), "a");
  const size_t short_name = table_.bytes() - empty;
  Insert(11, root(), name);
  EXPECT_GE(table_.bytes() - empty - short_name, 256U);
  // A longer name counts, and a forgotten name does not count any more.
  const size_t before = table_.bytes();
  Insert(10, root(), name);
  EXPECT_GE(table_.bytes(), before + 200);
  a->lookups = 0;
  table_.RemoveUnused(*a);
  EXPECT_EQ(table_.bytes(), before - short_name);
}

// The same memory has room for fewer files if names are long: each takes 300 bytes more.
TEST_F(NodeTableTest, LongNamesLeaveRoomForFewerNodes) {
  uint64_t known = 0;
  while (Insert(100 + known, root(), std::string(250, 'n') + std::to_string(known)) != nullptr) {
    ++known;
  }
  EXPECT_GT(known, 1500U);
  EXPECT_LT(known, 3000U);
  EXPECT_LE(table_.bytes(), NodeTable::BytesFor(5000));
  EXPECT_FALSE(table_.FitsNew(std::string(250, 'n')));
  EXPECT_FALSE(table_.FitsNames());
}

// The memory stays bounded if the guest forgets most files and then looks up long names: chunks
// that are still in use count.
TEST_F(NodeTableTest, IsBoundedWhateverIsForgotten) {
  std::vector<Node*> nodes;
  for (uint64_t i = 0; i < 4999; ++i) nodes.push_back(Insert(100 + i, root(), "n"));
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (i % 400 == 0) continue;
    nodes[i]->lookups = 0;
    table_.RemoveUnused(*nodes[i]);
  }
  const std::string name(255, 'n');
  for (uint64_t i = 0; i < 5000; ++i) Insert(10'000 + i, root(), name);
  EXPECT_LE(table_.bytes(), NodeTable::BytesFor(5000));
}

TEST_F(NodeTableTest, ChargedMemoryLeavesLessForNodes) {
  const size_t all = NodeTable::BytesFor(5000);
  EXPECT_TRUE(table_.Fits(all - table_.bytes()));
  table_.Charge(0, all - table_.bytes() - 40);
  EXPECT_NE(Insert(10, root(), "a"), nullptr);
  EXPECT_EQ(Insert(11, root(), "b"), nullptr);
  table_.Charge(1000, 0);
  EXPECT_NE(Insert(11, root(), "b"), nullptr);
  // A longer name of a known file needs memory, too.
  table_.Charge(0, 960);
  EXPECT_EQ(Insert(11, root(), std::string(200, 'n')), nullptr);
  EXPECT_NE(Insert(11, root(), "c"), nullptr);
}

TEST_F(NodeTableTest, ANodeWithChildrenIsNotUnused) {
  Node* a = Insert(10, root(), "a");
  Node* b = Insert(11, *a, "b");
  a->lookups = 0;
  EXPECT_FALSE(table_.IsUnused(*a));
  b->lookups = 0;
  EXPECT_TRUE(table_.IsUnused(*b));
  table_.RemoveUnused(*b);
  EXPECT_TRUE(table_.IsUnused(*a));
  EXPECT_FALSE(table_.IsUnused(root()));
}

TEST_F(NodeTableTest, ANodeMovesWhenItsFileIsFoundElsewhere) {
  Node* a = Insert(10, root(), "a");
  Node* b = Insert(11, root(), "b");
  Node* file = Insert(12, *a, "file", S_IFREG);
  EXPECT_EQ(Insert(12, *b, "link", S_IFREG), file);
  EXPECT_EQ(file->parent, b);
  EXPECT_EQ(file->name(), "link");
  EXPECT_EQ(a->children, 0U);
  EXPECT_EQ(b->children, 1U);
}

TEST(NodeTable, ReportsEachNodeThatAMoveOfItsOnlyChildRemoves) {
  std::vector<std::string> removed;
  NodeTable table({.device = 1, .inode = 2, .birth_ns = 7}, NodeTable::BytesFor(10),
                  [&removed](Node& node) { removed.emplace_back(node.name()); });
  const auto insert = [&table](uint64_t inode, Node& parent, absl::string_view name) {
    return table.Insert({.device = 1, .inode = inode, .birth_ns = 7}, S_IFDIR, parent, name);
  };
  Node* a = insert(10, table.root(), "a");
  Node* b = insert(11, *a, "b");
  Node* file = insert(12, *b, "file");
  a->lookups = b->lookups = 0;
  table.Place(*file, table.root(), "moved");
  EXPECT_EQ(removed, (std::vector<std::string>{"b", "a"}));
  EXPECT_EQ(table.size(), 2U);
}

TEST_F(NodeTableTest, NeverMakesANodeItsOwnAncestor) {
  Node* a = Insert(10, root(), "a");
  Node* b = Insert(11, *a, "b");
  Node* c = Insert(12, *b, "c");
  // The host has moved directories between two looks: c seems to hold a now.
  EXPECT_EQ(Insert(10, *c, "a"), a);
  EXPECT_EQ(a->parent, &root());
  EXPECT_EQ(Insert(12, *c, "c"), c);
  EXPECT_EQ(c->parent, b);
  // The root never moves either.
  EXPECT_EQ(table_.Insert({.device = 1, .inode = 2, .birth_ns = 7}, S_IFDIR, *c, "root"), &root());
  EXPECT_EQ(root().parent, nullptr);
}

TEST_F(NodeTableTest, GivesMemoryBackAndUsesItAgain) {
  for (int round = 0; round < 3; ++round) {
    std::vector<Node*> nodes;
    for (uint64_t i = 0; i < 4000; ++i) {
      nodes.push_back(Insert(1000 + i, root(), absl::string_view("name")));
    }
    EXPECT_EQ(table_.size(), 4001U);
    for (size_t i = 0; i < nodes.size(); ++i) {
      // Frees the nodes in an order that empties chunks late.
      Node* node = nodes[(i * 1777) % nodes.size()];
      node->lookups = 0;
      table_.RemoveUnused(*node);
    }
    EXPECT_EQ(table_.size(), 1U);
  }
}

}  // namespace
}  // namespace virtio
