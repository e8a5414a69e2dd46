# @@container@@

function Invoke-Main([string[]]$Words) {
    if ($Words -ccontains '-h' -or $Words -ccontains '--help') {
        return Get-Usage
    }
    $null = Assert-Running $runtime
    # Fetching continues inside and is soon over.
    Invoke-Live (@('exec', '-e', $locale, $runtime, '/flageemonitor/update_config.sh') + $Words) {
        param($process, $coming)
        Receive-Rest $process $coming
    }
}
