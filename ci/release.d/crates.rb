# frozen_string_literal: true

require 'rubygems/package'
require 'tmpdir'
require_relative 'blobs'

module Release
  # The crates of Cargo.lock as one archive: the files of the registry as they are, under their names. Nothing is
  # unpacked or compressed again, so the archive is the same whoever makes it, and whatever their Cargo and tar.
  module Crates
    BLOB = 'mariadb-galera/crates.tar'
    Crate = Struct.new(:name, :version, :checksum) do
      def file = "#{name}-#{version}.crate"
    end

    module_function

    def locked(root = ROOT)
      File.read(File.join(root, 'src', 'Cargo.lock')).split('[[package]]').drop(1).filter_map do |text|
        value = ->(key) { text[/^#{key} = "([^"]+)"/, 1] }
        next unless value['source']
        name, source = value['name'], value['source']
        raise Failed, "#{name} in Cargo.lock is from #{source}: only crates.io can be packed" unless source.include?('crates.io')
        Crate.new(name, value['version'], value['checksum'])
      end.sort_by(&:file)
    end

    # Fetches what is not in Cargo's cache yet, checks each crate against Cargo.lock, and writes the archive.
    def pack(target, root = ROOT)
      raise Failed, 'cargo could not fetch the crates of Cargo.lock' unless system('cargo', 'fetch', '--locked', '--quiet', chdir: root)
      Dir.mktmpdir do |dir|
        Dir.mkdir(File.join(dir, 'crates'))
        locked(root).each { |crate| File.binwrite(File.join(dir, 'crates', crate.file), content(crate)) }
        # Neither time nor owner nor the order of the directory gets in.
        tar = %w[tar --format=ustar --sort=name --mtime=@0 --owner=root:0 --group=root:0 --mode=u=rwX,go=rX --create]
        raise Failed, "#{target} could not be written" unless system(*tar, '--file', target, '--directory', dir, 'crates')
      end
    end

    def content(crate)
      file = Dir.glob(File.join(ENV.fetch('CARGO_HOME', File.expand_path('~/.cargo')), 'registry/cache/*', crate.file)).first
      raise Failed, "#{crate.file} is not in Cargo's cache, although it was fetched: is CARGO_HOME right?" unless file
      bytes = File.binread(file)
      raise Failed, "#{file} is not what Cargo.lock says (#{crate.checksum})" unless Digest::SHA256.hexdigest(bytes) == crate.checksum
      bytes
    end

    # What an archive holds: file => SHA-256
    def packed(archive)
      File.open(archive, 'rb') do |io|
        Gem::Package::TarReader.new(io).each_with_object({}) do |entry, files|
          files[File.basename(entry.full_name)] = Digest::SHA256.hexdigest(entry.read) if entry.file?
        end
      end
    end
  end
end
