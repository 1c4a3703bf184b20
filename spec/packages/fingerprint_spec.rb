# frozen_string_literal: true

require 'tmpdir'
require_relative '../../ci/release.d/package'

# BOSH compiles a package again only if its fingerprint changes: what does not change it is not deployed.
RSpec.describe 'The fingerprint of mariadb-galera' do
  around do |example|
    Dir.mktmpdir do |dir|
      @root = dir
      %w[src packages].each { |d| FileUtils.cp_r(File.join(RELEASE_DIR, d), dir) }
      %w[mariadb-galera/crates.tar rust-1-linux/rustc-1-x86_64-unknown-linux-gnu.tar.xz].each { |f| write("blobs/#{f}", 'an archive') }
      example.run
    end
  end

  def write(path, text)
    FileUtils.mkdir_p(File.dirname(File.join(@root, path)))
    File.write(File.join(@root, path), text)
  end

  def touch(path) = write(path, "#{File.read(File.join(@root, path))}\n")
  def fingerprint = Release::Package.new('mariadb-galera', @root).fingerprint

  %w[src/Cargo.toml src/Cargo.lock src/lib.rs src/bin/galera-start.rs packages/mariadb-galera/packaging
     blobs/mariadb-galera/crates.tar].each do |file|
    it "is another when #{file} changes" do
      expect { touch(file) }.to(change { fingerprint })
    end
  end

  it 'is another when a source file is added, and the old one when it is gone again' do
    before = fingerprint
    write('src/cluster/new.rs', '')
    expect(fingerprint).not_to eq(before)
    FileUtils.rm(File.join(@root, 'src/cluster/new.rs'))
    expect(fingerprint).to eq(before)
  end

  it 'is another when the dependencies change' do
    spec = File.read(File.join(@root, 'packages/mariadb-galera/spec'))
    expect { write('packages/mariadb-galera/spec', spec.sub('- rust-1-linux', '- rust-2-linux')) }.to(change { fingerprint })
  end

  it 'is the same when only what BOSH does not pack changes' do
    expect { touch('packages/mariadb-galera/spec') }.not_to(change { fingerprint })
  end

  it 'cannot be had without the crates: the sentence says what makes them' do
    FileUtils.rm(File.join(@root, 'blobs/mariadb-galera/crates.tar'))
    expect { fingerprint }.to raise_error(Release::Failed, /nothing matches mariadb-galera.crates.tar; .*`ci.vendor`/)
  end

  it 'takes in the lock that Cargo reads: the one of the workspace is a link to it' do
    expect(File.readlink(File.join(RELEASE_DIR, 'Cargo.lock'))).to eq('src/Cargo.lock')
    expect(Release::Package.new('mariadb-galera', @root).files.keys).to include('Cargo.toml', 'Cargo.lock')
  end
end
