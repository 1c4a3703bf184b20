# frozen_string_literal: true

require_relative '../../ci/release.d/crates'
require_relative '../../ci/release.d/licences'

RSpec.describe 'Licences' do
  it 'are all listed in docs/licences.md: `ci/vendor` after a change of Cargo.lock or config/upstream.yml' do
    expect(File.read(File.join(RELEASE_DIR, Release::Licences::DOCUMENT))).to eq(Release::Licences.document)
    expect(Release::Licences.crates.map { |c| "#{c['name']}-#{c['version']}.crate" }).to match_array(Release::Crates.locked.map(&:file))
  end

  it 'of every crate in our executables may be combined with Apache-2.0' do
    linked = Release::Licences.linked
    expect(linked.size).to be > 50
    refused = Release::Licences.crates.select { |c| linked.include?(c['id']) && !Release::Licences.accepted?(c['license'].to_s) }
    expect(refused.map { |c| "#{c['name']}: #{c['license']}" }).to eq([])
  end

  {
    'MIT' => true, 'GPL-3.0-only' => false, '' => false, 'MIT OR GPL-3.0-only' => true, 'MIT/Apache-2.0' => true, 'MIT AND GPL-3.0-only' => false,
    '(MIT OR Apache-2.0) AND Unicode-3.0' => true, '(GPL-2.0-only OR AGPL-3.0-only) AND MIT' => false, 'Apache-2.0 AND ISC' => true,
    'Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT' => true
  }.each do |expression, accepted|
    it "reads #{expression.inspect} as #{accepted ? 'accepted' : 'not accepted'}" do
      expect(Release::Licences.accepted?(expression)).to be(accepted)
    end
  end
end
