#include "vmm/machine/credentials.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace vmm {
namespace {

class CredentialsTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = testing::TempDir() + "credentials_test_XXXXXX";
    ASSERT_NE(mkdtemp(dir_.data()), nullptr);
    unsetenv("CREDENTIALS_DIRECTORY");
  }
  void TearDown() override {
    unsetenv("CREDENTIALS_DIRECTORY");
    std::filesystem::remove_all(dir_);
  }
  std::string Write(const std::string& name, const std::string& content) {
    std::ofstream(dir_ + "/" + name, std::ios::binary) << content;
    return dir_ + "/" + name;
  }
  static std::string Message(const std::vector<CredentialConfig>& credentials) {
    return std::string(ReadCredentials(credentials).status().message());
  }

  std::string dir_;
};

TEST_F(CredentialsTest, PrintableAsciiIsText) {
  EXPECT_EQ(CredentialString("a.b", "x=y z~"), "io.systemd.credential:a.b=x=y z~");
  EXPECT_EQ(CredentialString("a", ""), "io.systemd.credential:a=");
}

TEST_F(CredentialsTest, OtherContentIsBase64) {
  EXPECT_EQ(CredentialString("a", std::string("\0", 1)), "io.systemd.credential.binary:a=AA==");
  EXPECT_EQ(CredentialString("a", "key\n"), "io.systemd.credential.binary:a=a2V5Cg==");
  EXPECT_EQ(CredentialString("a", "\x7f"), "io.systemd.credential.binary:a=fw==");
  EXPECT_EQ(CredentialString("a", "\xff\xfe"), "io.systemd.credential.binary:a=//4=");
}

TEST_F(CredentialsTest, ReadsFilesInTheOrderOfTheConfig) {
  const auto strings = ReadCredentials({{"z", Write("1", "one")}, {"a", Write("2", "two\n")}});
  ASSERT_TRUE(strings.ok()) << strings.status();
  EXPECT_EQ(*strings, (std::vector<std::string>{"io.systemd.credential:z=one",
                                                "io.systemd.credential.binary:a=dHdvCg=="}));
}

TEST_F(CredentialsTest, WithoutFileReadsCredentialsDirectory) {
  Write("token", "secret");
  EXPECT_EQ(Message({{"token", {}}}),
            "platform.credentials.token: has no file, and $CREDENTIALS_DIRECTORY is not set; give "
            "a file, or load the credential in vmm's unit with LoadCredential=");
  setenv("CREDENTIALS_DIRECTORY", dir_.c_str(), 1);
  const auto strings = ReadCredentials({{"token", {}}});
  ASSERT_TRUE(strings.ok()) << strings.status();
  EXPECT_EQ(strings->at(0), "io.systemd.credential:token=secret");
}

TEST_F(CredentialsTest, RefusesMissingLongAndIrregularFiles) {
  EXPECT_EQ(Message({{"a", "/no/such"}}).find("platform.credentials.a: /no/such: cannot open"), 0u);
  const std::string full = Write("full", std::string(65536, 'x'));
  EXPECT_TRUE(ReadCredentials({{"a", full}}).ok());
  const std::string longer = Write("longer", std::string(65537, 'x'));
  EXPECT_EQ(Message({{"a", longer}}),
            "platform.credentials.a: " + longer +
                ": is longer than 65536 bytes, which do not fit in SMBIOS; shorten it");
  EXPECT_EQ(Message({{"a", dir_}}),
            "platform.credentials.a: " + dir_ + ": not a regular file; give the file itself");
}

}  // namespace
}  // namespace vmm
