// SPDX-License-Identifier: Apache-2.0

// What is renamed, because C++ has the name already, is called by its new name and travels by its old one.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <type_traits>

#include "collisions.nearcall.pb.h"
#include "fake_channel.h"
#include "generic_services.nearcall.pb.h"
#include "global_names.nearcall.pb.h"
#include "global_nearcall.nearcall.pb.h"
#include "global_std.nearcall.pb.h"
#include "google/protobuf/service.h"
#include "imports_generic.nearcall.pb.h"
#include "macros.nearcall.pb.h"

namespace nearcall {
namespace {

using testing::FakeChannel;

class NamesTest : public ::testing::Test {
 protected:
  // The name on the wire of the method that was called last.
  std::string Called() const { return channel_->info == nullptr ? "none" : channel_->info->full_name; }

  std::shared_ptr<FakeChannel> channel_ = std::make_shared<FakeChannel>();
};

TEST_F(NamesTest, AMacroIsNoMethod) {
  const demo::macros::Macros::Stub stub(channel_);
  ASSERT_TRUE(stub.NAN_({}).ok());
  EXPECT_EQ(Called(), "demo.macros.Macros/NAN");
  ASSERT_TRUE(stub.timerclear_({}).ok());
  EXPECT_EQ(Called(), "demo.macros.Macros/timerclear");
  ASSERT_TRUE(stub.linux_({}).ok());
  EXPECT_EQ(Called(), "demo.macros.Macros/linux");
  ASSERT_TRUE(stub.ABSL_GUARDED_BY_({}).ok());
  EXPECT_EQ(Called(), "demo.macros.Macros/ABSL_GUARDED_BY");
  ASSERT_TRUE(stub.__FILE___({}).ok());
  EXPECT_EQ(Called(), "demo.macros.Macros/__FILE__");
  ASSERT_TRUE(stub.GET({}).ok());
  ASSERT_TRUE(stub.__LINE_({}).ok());
  ASSERT_TRUE(demo::macros::INFINITY_::Stub(channel_).Say({}).ok());
  EXPECT_EQ(Called(), "demo.macros.INFINITY/Say");
}

TEST_F(NamesTest, WithoutAPackageTheLibrariesKeepTheirs) {
  ASSERT_TRUE(::tm_::Stub(channel_).Say({}).ok());
  EXPECT_EQ(Called(), "tm/Say");
  ASSERT_TRUE(::FILE_::Stub(channel_).Say({}).ok());
  ASSERT_TRUE(::int64_t_::Stub(channel_).Say({}).ok());
  ASSERT_TRUE(::read::Stub(channel_).Say({}).ok());
  EXPECT_EQ(Called(), "read/Say");
}

TEST_F(NamesTest, InAPackageOfALibraryTheLibraryKeepsItsTypes) {
  ASSERT_TRUE(::nearcall::Channel_::Stub(channel_).Server({}).ok());
  EXPECT_EQ(Called(), "nearcall.Channel/Server");
  EXPECT_NE(::nearcall::ClientWriter_::Stub(channel_).ClientReader(), nullptr);
  EXPECT_EQ(Called(), "nearcall.ClientWriter/ClientReader");
  ASSERT_TRUE(::std::string_::Stub(channel_).vector({}).ok());
  EXPECT_EQ(Called(), "std.string/vector");
}

TEST_F(NamesTest, ATypeOrANamespaceKeepsItsName) {
  ASSERT_TRUE(demo::collisions::Outer_Inner_::Stub(channel_).delete_({}).ok());
  EXPECT_EQ(Called(), "demo.collisions.Outer_Inner/delete_");
  ASSERT_TRUE(demo::collisions::Outer_Inner_::Stub(channel_).delete__({}).ok());
  EXPECT_EQ(Called(), "demo.collisions.Outer_Inner/delete");
  ASSERT_TRUE(demo::collisions::delete__::Stub(channel_).Go({}).ok());
  EXPECT_EQ(Called(), "demo.collisions.delete/Go");
  EXPECT_STREQ(demo::collisions::Stub_::kFullName, "demo.collisions.Stub_");
  EXPECT_STREQ(demo::collisions::Stub__::kFullName, "demo.collisions.Stub");
}

TEST_F(NamesTest, ProtobufsGenericServicesKeepTheirs) {
  static_assert(std::is_base_of_v<google::protobuf::Service, demo::generic::Echo>);
  static_assert(std::is_base_of_v<google::protobuf::Service, demo::generic::Echo_>);
  ASSERT_TRUE(demo::generic::Echo__::Stub(channel_).Say({}).ok());
  EXPECT_EQ(Called(), "demo.generic.Echo/Say");
  ASSERT_TRUE(demo::generic::Echo___::Stub(channel_).channel({}).ok());
  EXPECT_EQ(Called(), "demo.generic.Echo_/channel");
  ASSERT_TRUE(demo::generic::Echo____::Stub(channel_).Say({}).ok());
  EXPECT_EQ(Called(), "demo.generic.Echo__/Say");
  ASSERT_TRUE(demo::generic::Service_::Stub(channel_).Say({}).ok());
  EXPECT_EQ(Called(), "demo.generic.Service/Say");
  ASSERT_TRUE(demo::generic::Service_Stub_::Stub(channel_).Say({}).ok());
  EXPECT_EQ(Called(), "demo.generic.Service_Stub/Say");
}

}  // namespace
}  // namespace nearcall
